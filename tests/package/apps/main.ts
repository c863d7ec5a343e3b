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

/** Shows how a call goes, and takes those that come. */
export function phone(chat: Conversation, show: (text: string) => void): void {
  let phase = chat.calls.phase;
  chat.on('change', () => {
    if (chat.calls.phase === phase) return;
    phase = chat.calls.phase;
    show(`${chat.sender} is ${phase}`);
    if (phase === 'ringing') chat.calls.accept().catch((error: NavieTakieError) => show(error.code));
  });
}

/** Calls the other side. Returns what hangs up. */
export async function ring(chat: Conversation): Promise<() => Promise<void>> {
  await chat.calls.start();
  return () => chat.calls.hangUp();
}

export async function greet(chat: Conversation): Promise<number> {
  const { seq } = await chat.send('I am here', { metadata: { location: { lat: 52.52, lng: 13.405 } } }).stored;
  return seq;
}
