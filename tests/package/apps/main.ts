/** A small app of somebody else: prints messages, greets, and calls. */
import { connect, NavieTakieError, type Conversation, type Message, type Options } from 'navietakie';

function line({ sender, message_type, message, metadata }: Message): string {
  if (message_type === 'call') return `${metadata.caller} called: ${metadata.end_reason}`;
  return metadata?.location ? `${sender} is at ${metadata.location.lat}, ${metadata.location.lng}` : `${sender}: ${message}`;
}

export function open(options: Options, show: (text: string) => void): Conversation {
  const chat = connect(options);
  chat.on('ready', () => chat.messages.map(line).forEach(show));
  chat.on('message', (message) => show(line(message)));
  chat.on('problem', (error) => show(error instanceof NavieTakieError ? error.code : String(error)));
  return chat;
}

export async function greet(chat: Conversation): Promise<number> {
  const { seq } = await chat.send('I am here', { metadata: { location: { lat: 52.52, lng: 13.405 } } }).stored;
  return seq;
}
