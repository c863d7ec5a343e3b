/** Wrong use: each of these lines must be refused by the compiler. */
import { type Message, type OutboxId, connect } from 'navietakie';

// @ts-expect-error options are needed
connect();
// @ts-expect-error the sender is missing
connect({ bookingCode: 'ride-7' });
// @ts-expect-error there is no such sender
connect({ bookingCode: 'ride-7', sender: 'pilot' });
// @ts-expect-error a misspelt option
connect({ bookingCode: 'ride-7', sender: 'driver', devideId: 'phone-1' });
// @ts-expect-error the function returns no text
connect({ bookingCode: 'ride-7', sender: 'driver', token: () => 42 });
// @ts-expect-error this is no storage
connect({ bookingCode: 'ride-7', sender: 'driver', storage: new Map() });

const chat = connect({ bookingCode: 'ride-7', sender: 'driver' });
// @ts-expect-error there is no such event
chat.on('mesage', () => {});
// @ts-expect-error `ready` has no detail
chat.on('ready', (page: Message[]) => page);
// @ts-expect-error `message` has another detail
chat.on('message', (count: number) => count);
// @ts-expect-error there is no such state
if (chat.state === 'offline') chat.close();
// @ts-expect-error there is no such phase
if (chat.calls.phase === 'busy') chat.close();
// @ts-expect-error what is shown is not for writing
chat.state = 'open';
// @ts-expect-error nor is the history
chat.messages.push(chat.messages[0]!);
// @ts-expect-error nor who is typing
chat.typing.add('driver');
// @ts-expect-error nor what is inside a message
if (chat.messages[0]) chat.messages[0].message = '';

// @ts-expect-error a text is sent
chat.send(42);
// @ts-expect-error only the server writes calls
chat.send('Missed call', { message_type: 'call' });
// @ts-expect-error metadata is an object
chat.send('Here', { metadata: 'blue' });
// @ts-expect-error a location has two numbers
chat.send('Here', { metadata: { location: { lat: '52.52', lng: '13.405' } } });
// @ts-expect-error the text of a message is not its id
chat.retry('m1');
// @ts-expect-error a message is no entry of the outbox
chat.discard(chat.messages[0]!.message_id);
// @ts-expect-error one kind of id is not another
export const other: OutboxId = chat.calls.call!.call_id;

// @ts-expect-error a message is no attachment
chat.attachmentUrl(chat.messages[0]!.message_id);
// @ts-expect-error a name is no file
chat.attach('photo.jpg');
// @ts-expect-error what was said cannot be redacted by its number
chat.redact(42);
// @ts-expect-error a snapshot does nothing
chat.getSnapshot().calls.start();
// @ts-expect-error may be null
chat.calls.voice.stream;
// @ts-expect-error a call that may still ring has no reason
chat.calls.call!.end_reason.trim();
// @ts-expect-error an entry that may not be stored has no seq
chat.outbox[0]!.seq.toFixed();
// @ts-expect-error what the client has of its own is not for apps
chat.calls.adopt(null);
