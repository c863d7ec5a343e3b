/** Right use: all of it compiles, and what is read has the expected type. */
import {
  type Call,
  type CallLogPage,
  type EndedCall,
  type EndReason,
  type Message,
  type OutboxEntry,
  type OutboxId,
  type Phase,
  type Sender,
  type State,
  connect,
  Conversation,
  NavieTakieError,
} from 'navietakie';
import { type Same, holds } from './same.js';

const chat = connect({ bookingCode: 'ride-7', sender: 'driver' });
holds<Same<typeof chat, Conversation>>();

// Options: the platform's own classes do.
connect({
  bookingCode: 'ride-7',
  sender: 'passenger',
  token: async (refused) => (refused ? 'new' : 'cached'),
  api: '/staging',
  ws: 'wss://chat.example.com/ws',
  deviceId: 'phone-1',
  storage: localStorage,
  WebSocket,
  fetch,
  FormData,
  mediaDevices: navigator.mediaDevices,
  RTCPeerConnection,
  getUserMedia: (constraints) => navigator.mediaDevices.getUserMedia(constraints),
});
connect({
  bookingCode: 'ride-7',
  sender: 'agent',
  user: 'agent-3',
  storage: {
    getItem: async (key) => key,
    setItem: async () => {},
    removeItem: async () => {},
    getAllKeys: async () => [],
  },
  watch: ({ wake, away }) => {
    addEventListener('online', wake);
    away(true);
    return () => removeEventListener('online', wake);
  },
});
connect({ bookingCode: 'ride-7', sender: 'system', token: 'a.b.c', storage: null });

// Events by name, each with its own detail.
const stop = chat.on('message', (message) => holds<Same<typeof message, Message>>());
stop();
chat.on('change', () => {});
chat.on('healed', ({ messages, ms }) => [messages.toFixed(), ms.toFixed()]);
chat.on('frame', ({ direction, frame, text }) => [direction satisfies 'in' | 'out', frame.type, text.length]);
chat.on('problem', (error) => {
  if (error instanceof NavieTakieError) holds<Same<typeof error.retryAfterMs, number | null>>();
});

// States as unions: a switch over all of them leaves nothing.
function told(state: State): string {
  switch (state) {
    case 'open':
    case 'connecting':
    case 'closed':
      return state;
    case 'waiting':
      return new Date(chat.retryAt ?? 0).toISOString();
    case 'refused':
      return chat.refusal?.message ?? '';
  }
}
told(chat.state);
const phases: Record<Phase, string> = {
  ...{ idle: '', dialling: '', calling: '', ringing: '', answering: '', talking: '', elsewhere: '' },
};
phases[chat.calls.phase].trim();

// What a message is follows from its type.
for (const message of chat.messages) {
  if (message.message_type === 'call') {
    holds<Same<typeof message.metadata, EndedCall>>();
    holds<Same<typeof message.metadata.end_reason, EndReason>>();
  } else {
    message.metadata?.location?.lat.toFixed(4);
    const own: unknown = message.metadata?.['anything'];
    String(own);
  }
}

// So do the fields of a call and of an entry of the outbox.
function about(call: Call): string {
  if (call.state === 'ringing') return `${call.ring_ms_left.toFixed()} ms left`;
  if (call.state === 'connected') return `answered by ${call.answered_by.trim()}`;
  return call.end_reason;
}
if (chat.calls.call) about(chat.calls.call);
function why(entry: OutboxEntry): string {
  if (entry.state === 'sent') return entry.seq.toFixed();
  return entry.state === 'failed' ? entry.error.code : (entry.error?.code ?? '');
}
chat.outbox.map(why);

// Sending; `metadata` is open.
const entry = chat.send('Here', { metadata: { location: { lat: 52.52, lng: 13.405 }, colour: 'blue', floors: [1, 2] } });
entry.stored.then((message) => holds<Same<typeof message, Message>>());
const id: OutboxId = entry.id;
chat.retry(id);
holds<Same<boolean, ReturnType<typeof chat.discard>>>();
const plain: string = entry.id; // an id is a text

// Attachments, redaction, the background.
const [file] = [...(document.querySelector('input')?.files ?? [])];
if (file) holds<Same<Message, Awaited<ReturnType<typeof chat.attach>>>>();
if (file) await chat.attach(file, 'The parcel', { metadata: { colour: 'blue' } });
await chat.attach({ uri: 'file:///a.jpg', type: 'image/jpeg', size: 1024, name: 'a.jpg' });
for (const message of chat.messages) {
  if (message.message_type !== 'text') continue;
  if (message.metadata?.attachment) (await chat.attachmentUrl(message.metadata.attachment.id)).startsWith('https:');
  if (message.redacted_at === null) await chat.redact(message);
}
chat.on('redacted', (message) => message.redacted_at?.trim());
chat.setAway(true);
chat.wake();

// Snapshots.
const unsubscribe = chat.subscribe(() => {});
unsubscribe();
const snapshot = chat.getSnapshot();
holds<Same<typeof snapshot.messages, readonly Message[]>>();
if (snapshot.calls.voice) holds<Same<typeof snapshot.calls.voice.stream, MediaStream | null>>();
if (snapshot.booking.closed_at === null) snapshot.booking.muted.includes('driver');

// The rest.
chat.markRead();
chat.markRead(chat.messages.at(-1)?.seq ?? 0);
chat.sayTyping();
chat.loadOlder().then((older) => older.length);
const page: CallLogPage = await chat.callLog({ limit: 5 });
if (page.next_cursor) await chat.callLog({ cursor: page.next_cursor });
chat.reconnect({ token: () => 'another' });
chat.receipts.passenger.read.toFixed();
const writing: Sender[] = [...chat.typing];
const audio = new Audio();
audio.srcObject = chat.calls.voice?.stream ?? null;
if (chat.calls.voice) chat.calls.voice.muted = true;
chat.close();

export { plain, writing };
