/**
 * The client's types. The guide is docs/client.md; field names with underscores are the server's own. Timestamps are
 * RFC 3339 in UTC. Your code only reads these values, so all of them are readonly.
 */

declare const unique: unique symbol;

/** A text that names one thing. TypeScript does not accept it as the name of another kind of thing. */
type Id<Kind extends string> = string & { readonly [unique]: Kind };

export type MessageId = Id<'message'>;
export type CallId = Id<'call'>;
/** Names an entry of the outbox, and then the message that it became: its `client_message_id`. */
export type OutboxId = Id<'outbox'>;
export type AttachmentId = Id<'attachment'>;

/** The class of that name where the platform's types have one (lib `dom`, React Native), else `unknown`. */
type Platform<Name extends string> = typeof globalThis extends { readonly [_ in Name]: { prototype: infer Instance } }
  ? Instance
  : unknown;

// --- Who, and what is kept -------------------------------------------------------------------------------------------

export type Side = 'driver' | 'passenger';
/** `agent`: a person of the company. `system`: the company itself. */
export type Sender = Side | 'agent' | 'system';

/** Your own data, up to 4,096 bytes of JSON. The server checks the fields that are named here. */
export interface Metadata {
  readonly location?: { readonly lat: number; readonly lng: number };
  readonly quick_reply_id?: string;
  /** Use `chat.attach` to send one and `chat.attachmentUrl` to show it. The server adds type and size. */
  readonly attachment?: { readonly id: AttachmentId; readonly content_type?: string; readonly bytes?: number };
  readonly [field: string]: unknown;
}

interface Stored {
  readonly message_id: MessageId;
  readonly booking_code: string;
  /** 1, 2, 3, … within the booking. */
  readonly seq: number;
  /** Rises with `seq`. */
  readonly timestamp: string;
  readonly sender: Sender;
  /** The `sub` of the sender's token. */
  readonly sender_id: string | null;
  /** Empty if there is only an attachment, or if it was redacted. */
  readonly message: string;
  /** When its content was removed; null: it was not. */
  readonly redacted_at: string | null;
  readonly client_message_id: string | null;
}

export interface TextMessage extends Stored {
  readonly message_type: 'text';
  readonly metadata: Metadata | null;
}

/** From the company: an order (`metadata.event`), or a plain message. */
export interface SystemMessage extends Stored {
  readonly message_type: 'system';
  readonly metadata: (Metadata & { readonly event?: string }) | null;
}

/** A call that has ended. */
export interface CallMessage extends Stored {
  readonly message_type: 'call';
  readonly sender: 'system';
  readonly metadata: EndedCall;
}

export type Message = TextMessage | SystemMessage | CallMessage;

// --- Calls -----------------------------------------------------------------------------------------------------------

export type EndReason =
  | 'completed'
  | 'declined'
  | 'cancelled'
  | 'no_answer'
  | 'connection_lost'
  | 'max_duration'
  | 'booking_closed'
  | 'revoked';

interface AnyCall {
  readonly call_id: CallId;
  readonly booking_code: string;
  /** When it began. */
  readonly timestamp: string;
  readonly caller: Side;
  readonly callee: Side;
  /** From the answer to the end; 0 before the end, or if nobody answered. */
  readonly duration_seconds: number;
  /** Counts its changes. */
  readonly version: number;
}

export interface RingingCall extends AnyCall {
  readonly state: 'ringing';
  readonly end_reason: null;
  readonly answered_at: null;
  readonly ended_at: null;
  readonly rings_until: string;
  /** Use `calls.ringsUntil`: it is by this device's clock. */
  readonly ring_ms_left: number;
  readonly answered_by: null;
}

export interface ConnectedCall extends AnyCall {
  readonly state: 'connected';
  readonly end_reason: null;
  readonly answered_at: string;
  readonly ended_at: null;
  readonly rings_until: null;
  readonly ring_ms_left: null;
  /** A device. */
  readonly answered_by: string;
}

export interface EndedCall extends AnyCall {
  readonly state: 'ended';
  readonly end_reason: EndReason;
  readonly answered_at: string | null;
  readonly ended_at: string;
  readonly rings_until: null;
  readonly ring_ms_left: null;
  readonly answered_by: string | null;
}

/** A call as the server has it. */
export type Call = RingingCall | ConnectedCall | EndedCall;

/** What the call means on this device. */
export type Phase = 'idle' | 'dialling' | 'calling' | 'ringing' | 'answering' | 'talking' | 'elsewhere';

export type VoiceState = 'connecting' | 'connected' | 'reconnecting' | 'closed';

export interface VoiceStats {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly packetsLost: number;
  readonly packetsReceived: number;
  readonly jitterMs: number;
  /** Whether the sound goes through a TURN server; undefined before there is a connection. */
  readonly relayed?: boolean | undefined;
  readonly roundTripMs: number | null;
  /** How loud the other side is, 0 to 1. */
  readonly level: number;
}

/** The sound of one call. */
export interface Voice {
  readonly callId: CallId;
  readonly state: VoiceState;
  /** The other side's sound: give it to an `<audio>` element's `srcObject`. */
  readonly stream: Platform<'MediaStream'> | null;
  /** You may set it. */
  muted: boolean;
  /** `lost` from when it went away until there is another. */
  readonly microphone: 'live' | 'lost';
  stats(): Promise<VoiceStats>;
}

/** The booking's latest call, and this device's part in it. */
export interface Calls {
  readonly phase: Phase;
  readonly call: Call | null;
  /** When ringing stops, with or without a frame: milliseconds since 1970 by this device's clock. */
  readonly ringsUntil: number | null;
  /** When it was answered, in milliseconds since 1970 by this device's clock. */
  readonly talkingSince: number | null;
  /** Whether there is a call that was not hung up here. */
  readonly live: boolean;
  /** How many present connections of the other side took the frame of the last action. */
  readonly reached: number | null;
  /** While `talking`, where the platform has WebRTC. */
  readonly voice: Voice | null;
  /** Calls the other side. Rejects with a NavieTakieError: the server's, or `microphone`. */
  start(): Promise<void>;
  /** Answers the call that rings here; otherwise does nothing. */
  accept(): Promise<void>;
  /** Declines, cancels or ends the call, as its state requires. The client remembers it until the server knows. */
  hangUp(): Promise<void>;
}

export interface CallLogPage {
  /** The newest call first, a live one included. */
  readonly calls: readonly Call[];
  readonly next_cursor: string | null;
}

// --- On its way ------------------------------------------------------------------------------------------------------

interface Entry {
  readonly id: OutboxId;
  readonly message: string;
  readonly message_type: 'text' | 'system';
  readonly metadata: Metadata | null;
  /** Milliseconds since 1970. */
  readonly created_at: number;
  readonly tries?: number;
}

/** Will be sent; has an `error` if the server was busy or failed. */
export interface WaitingEntry extends Entry {
  readonly state: 'waiting';
  readonly error: NavieTakieError | null;
}

/** Sent, and not answered yet. */
export interface SendingEntry extends Entry {
  readonly state: 'sending';
  readonly error: NavieTakieError | null;
}

/** Stored; it moves to `messages` as soon as no earlier message is missing on this device. */
export interface SentEntry extends Entry {
  readonly state: 'sent';
  readonly error: null;
  readonly seq: number;
}

/** Refused for good: `retry(id)` or `discard(id)`. */
export interface FailedEntry extends Entry {
  readonly state: 'failed';
  readonly error: NavieTakieError;
}

/** A message of this device on its way. */
export type OutboxEntry = WaitingEntry | SendingEntry | SentEntry | FailedEntry;

/** What `send` returns: the entry as it was then. */
export type Sending = OutboxEntry & {
  /** Resolves with the stored message; rejects with a NavieTakieError if it is refused. You may ignore it. */
  readonly stored: Promise<Message>;
};

// --- How things stand ------------------------------------------------------------------------------------------------

export type State = 'connecting' | 'open' | 'waiting' | 'refused' | 'closed';

/** Two `seq`s: every message up to them. */
export interface Marks {
  readonly delivered: number;
  readonly read: number;
}

export type Receipts = { readonly [_ in Side]: Marks };

/** Who has a connection that is not away. */
export type Presence = { readonly [_ in Side | 'agent']: boolean };

/** What the company has ordered. */
export interface Booking {
  /** Null: it is open. */
  readonly closed_at: string | null;
  /** The sides that may not write. */
  readonly muted: readonly Side[];
}

export interface Position {
  /** Up to here nothing is missing on this device. */
  readonly seq: number;
  /** The server's last message, as far as known. */
  readonly head: number;
  /** Names the history; if it changes, this is another history. Null before the first message. */
  readonly epoch: string | null;
}

// --- Errors ----------------------------------------------------------------------------------------------------------

/** The server's codes. A later server may have more. */
export type ServerCode =
  | 'invalid_request'
  | 'unauthorized'
  | 'token_expired'
  | 'forbidden'
  | 'muted'
  | 'refused_by_hook'
  | 'not_found'
  | 'idempotency_conflict'
  | 'illegal_transition'
  | 'call_in_progress'
  | 'booking_closed'
  | 'connection_replaced'
  | 'too_large'
  | 'rate_limited'
  | 'unavailable'
  | 'internal';

/** The client's own codes. */
export type ClientCode = 'network' | 'timeout' | 'microphone' | 'upload' | 'closed';

export type Code = ServerCode | ClientCode | (string & {});

export declare class NavieTakieError extends Error {
  readonly name: 'NavieTakieError';
  readonly code: Code;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
  readonly details: { readonly call?: Call; readonly field?: string; readonly [field: string]: unknown };
  /** Only after a REST request, like `requestId`. */
  readonly status: number | null;
  readonly requestId: string | null;
  constructor(said: {
    code: Code;
    message?: string;
    retryable?: boolean;
    retry_after_ms?: number | null;
    details?: object | null;
    status?: number | null;
    request_id?: string | null;
  });
}

// --- Events ----------------------------------------------------------------------------------------------------------

/** A frame of the protocol: docs/protocol.md. */
export interface Frame {
  readonly action?: string;
  readonly type?: string;
  readonly id?: string | null;
  readonly [field: string]: any;
}

/** What a listener of each event is given. */
export interface Events {
  /** A property has changed; once for all changes of one moment. */
  change: void;
  /** The first page of history is in `messages`. */
  ready: void;
  /** A message after that page: each once, in the order of `seq`. */
  message: Message;
  /** A message of this device is stored. */
  sent: Message;
  /** The content of a message was removed: the message as it is now. */
  redacted: Message;
  /** Missed messages were fetched. */
  healed: { readonly messages: number; readonly ms: number };
  /** The server has another history: clear what you show. `ready` follows. */
  reset: void;
  /** An error that no promise reports: a NavieTakieError, or what your `token` function has thrown. */
  problem: unknown;
  /** Every frame, sent or received. */
  frame: { readonly direction: 'in' | 'out'; readonly frame: Frame; readonly text: string };
}

// --- The conversation ------------------------------------------------------------------------------------------------

/** A JWT, or a function that returns one. Its argument is true if the last token was refused or is about to expire. */
export type Token = string | ((refused: boolean) => string | Promise<string>);

/** What the client needs of `localStorage`. */
export interface StorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** What the client needs of a storage that answers by promises, as React Native has it. */
export interface AsyncStorageLike {
  getItem(key: string): Promise<string | null> | string | null;
  setItem(key: string, value: string): Promise<void> | void;
  removeItem(key: string): Promise<void> | void;
  getAllKeys(): Promise<readonly string[]> | readonly string[];
}

/** Tells the client about the device. May return a function that stops this. */
export type Watch = (tell: {
  /** The device woke up, or has found a network. */
  wake: () => void;
  /** The app is in the background, or is back. */
  away: (on: boolean) => void;
}) => (() => void) | void;

/** A `Blob` or `File`, or what React Native has instead. */
export interface FileLike {
  readonly type: string;
  readonly size: number;
  readonly name?: string;
  readonly uri?: string;
}

/** Time in milliseconds, and random numbers. */
export interface Clock {
  now(): number;
  random(): number;
  setTimeout(callback: () => void, ms?: number): any;
  clearTimeout(timer: any): void;
}

/** What the client needs of a WebSocket: the platform's class and that of the package `ws` will do. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(text: string): void;
  close(): void;
}

/** What the client needs of `fetch`. */
export type Fetch = (
  url: string,
  init?: any,
) => Promise<{
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  json(): Promise<any>;
}>;

export interface Options {
  bookingCode: string;
  sender: Sender;
  token?: Token;
  /** What comes before `/api/v1/…`: by default the page's origin. */
  api?: string;
  /** The WebSocket's address without its query: by default `/ws` on the page's origin. */
  ws?: string;
  /** Tells the devices of one side apart; by default one that the tab keeps. */
  deviceId?: string;
  /** The owner of the unsent messages: by default the token's `sub`. */
  user?: string;
  /** Where unsent messages survive a reload: by default `localStorage`; null: nowhere. */
  storage?: StorageLike | AsyncStorageLike | null;
  /** Tells the client when the device wakes up and when the app is in the background: by default the page's signals; null: not at all. */
  watch?: Watch | null;
  WebSocket?: new (url: string, protocols?: string[]) => Socket;
  fetch?: Fetch;
  /** For attachments. */
  FormData?: new () => { append(name: string, value: any): void };
  /** Without one, calls have a state but no sound. */
  RTCPeerConnection?: new (configuration: any) => any;
  /** Tells when microphones come and go, and has `getUserMedia`. */
  mediaDevices?: { getUserMedia(constraints: any): Promise<any> };
  getUserMedia?: (constraints: any) => Promise<any>;
  /** For tests. */
  clock?: Clock;
}

/** What `chat.getSnapshot` returns: all properties at one moment. Each is the same object until something in it changes. */
export interface Snapshot
  extends Readonly<
    Pick<
      Conversation,
      | 'state'
      | 'refusal'
      | 'retryAt'
      | 'ready'
      | 'messages'
      | 'outbox'
      | 'hasOlder'
      | 'receipts'
      | 'unread'
      | 'typing'
      | 'presence'
      | 'away'
      | 'booking'
      | 'position'
      | 'deviceId'
    >
  > {
  readonly calls: CallsSnapshot;
}

export interface CallsSnapshot
  extends Pick<Calls, 'phase' | 'call' | 'ringsUntil' | 'talkingSince' | 'reached' | 'live'> {
  readonly voice: Readonly<Pick<Voice, 'state' | 'stream' | 'muted' | 'microphone'>> | null;
}

/** One side's view of a booking. Read its properties again at each `change`. */
export declare class Conversation {
  constructor(options: Options);
  readonly bookingCode: string;
  readonly sender: Sender;
  /** This device's name, settled before the first connection. */
  readonly deviceId: string;
  readonly state: State;
  /** While `refused`: why. */
  readonly refusal: NavieTakieError | null;
  /** While `waiting`: when the client connects again, in milliseconds since 1970. */
  readonly retryAt: number | null;
  /** Whether the first page of history is there. */
  readonly ready: boolean;
  /** The oldest first, without a gap. */
  readonly messages: readonly Message[];
  /** Whether the server has older ones: `loadOlder()`. */
  readonly hasOlder: boolean;
  /** Show them after `messages`. */
  readonly outbox: readonly OutboxEntry[];
  readonly receipts: Receipts;
  /** How many messages of others this side has not read. */
  readonly unread: number;
  /** The other senders who are typing. */
  readonly typing: ReadonlySet<Sender>;
  readonly presence: Presence;
  /** Whether this device says that it is in the background. */
  readonly away: boolean;
  readonly booking: Booking;
  readonly position: Position;
  readonly calls: Calls;

  /** Calls `listener` at every event of that name. Returns a function that removes it. */
  on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void;

  /** Sends a message, now or as soon as there is a connection; it is stored once. */
  send(message: string, more?: { message_type?: 'text' | 'system'; metadata?: Metadata | null }): Sending;
  /** Uploads a photo or a voice note and sends it with a text. Rejects with the server's error, or `upload`. */
  attach(file: FileLike, text?: string, more?: { metadata?: Metadata | null }): Promise<Message>;
  /** Resolves with the address of an attachment. It works for some minutes. */
  attachmentUrl(id: AttachmentId): Promise<string>;
  /** Removes the content of a message from the history. Resolves with the server's notice. */
  redact(message: Message | string): Promise<Message>;
  /** Sends a failed message again. */
  retry(id: OutboxId): void;
  /** Forgets a message that failed or was not tried yet. Returns whether it did. */
  discard(id: OutboxId): boolean;
  /** This side has read everything up to `seq`; by default all. */
  markRead(seq?: number): void;
  /** Call it at every key press. */
  sayTyping(on?: boolean): void;
  /** Fetches older messages and resolves with them. */
  loadOlder(limit?: number): Promise<readonly Message[]>;
  callLog(page?: { limit?: number; cursor?: string | null }): Promise<CallLogPage>;
  /** Says that the app is in the background, or back. */
  setAway(on?: boolean): void;
  /** Call it when the device woke up, or has found a network. */
  wake(): void;
  /** Calls `listener` at every `change`. Returns a function that removes it. Bound, like `getSnapshot`. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until a property changes. */
  readonly getSnapshot: () => Snapshot;
  /** Connects now instead of later, perhaps with another token. */
  reconnect(how?: { token?: Token }): void;
  /** Closes the conversation for good. Unsent messages stay in the storage. */
  close(): void;
}

/** Opens a conversation and keeps it open until `close`. Throws a TypeError for wrong options. */
export declare function connect(options: Options): Conversation;
