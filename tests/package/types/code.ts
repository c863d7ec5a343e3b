/**
 * Compares the types with the code, as the compiler understands it from its comments: both have the same members, and the
 * types promise what the code says. A new member of the code gets a type, or a place in the list below.
 */
import type * as typed from 'navietakie';
import type { Calls } from '../../../web/navietakie/calls.js';
import type { Conversation } from '../../../web/navietakie/conversation.js';
import type { NavieTakieError } from '../../../web/navietakie/errors.js';
import type * as noted from '../../../web/navietakie/types.js';
import type { Voice } from '../../../web/navietakie/voice.js';
import { type Same, holds } from './same.js';

/** Members for the client's own parts, which apps do not use. */
interface Inner {
  conversation: 'emit';
  calls: 'adopt' | 'heard' | 'isBehind' | 'signalled' | 'lineOpened' | 'startOver' | 'close' | 'pending' | 'recall' | 'snapshot';
  voice: 'start' | 'receive' | 'nudge' | 'close' | 'replace' | 'report' | 'gone' | 'lose';
}

/** True if both have the same members; otherwise the members that one of them lacks. */
type SameMembers<Code, Types, Own = never> = [Exclude<keyof Code, keyof Types | Own> | Exclude<keyof Types, keyof Code>] extends [never]
  ? true
  : { types_lack: Exclude<keyof Code, keyof Types | Own>; code_lacks: Exclude<keyof Types, keyof Code> };

/**
 * Those members of the types that do not fit the code. Where the code has no comment the compiler only sees a first value
 * (`null`, say): so one of the two has to be what the other may be.
 */
type Unfit<Code, Types, Except = never> = {
  [Name in Exclude<keyof Types & keyof Code, Except>]: Fits<Code[Name], Types[Name]> extends true ? never : Name;
}[Exclude<keyof Types & keyof Code, Except>];
type Fits<A, B> = Plain<A> extends Plain<B> ? true : Plain<B> extends Plain<A> ? true : false;
/** Without `readonly`: the code may change what it has. */
type Plain<T> = T extends ReadonlySet<infer E> ? Set<E> : T extends readonly (infer E)[] ? E[] : T;

/** Of what they take, the code has no comment, or one that is stricter. */
type LessSaid = 'on' | 'send' | 'callLog';

holds<SameMembers<Conversation, typed.Conversation, Inner['conversation']>>();
holds<SameMembers<Calls, typed.Calls, Inner['calls']>>();
holds<SameMembers<Voice, typed.Voice, Inner['voice']>>();
holds<SameMembers<NavieTakieError, typed.NavieTakieError>>();
holds<SameMembers<noted.Message, typed.Message>>();
holds<SameMembers<noted.Call, typed.Call>>();
holds<SameMembers<noted.OutboxEntry, typed.OutboxEntry & typed.SentEntry>>();
holds<SameMembers<noted.Clock, typed.Clock>>();
holds<SameMembers<noted.Booking, typed.Booking>>();
holds<SameMembers<noted.AsyncStorage, typed.AsyncStorageLike>>();
holds<SameMembers<noted.CallSnapshot, typed.CallsSnapshot>>();

holds<Same<never, Unfit<Conversation, typed.Conversation, 'calls' | LessSaid>>>();
holds<Same<never, Unfit<Calls, typed.Calls, 'voice'>>>();
holds<Same<never, Unfit<Voice, typed.Voice>>>();
holds<Same<never, Unfit<NavieTakieError, typed.NavieTakieError>>>();
holds<Same<never, Unfit<noted.Message, typed.Message>>>();
holds<Same<never, Unfit<noted.Call, typed.Call>>>();
holds<Same<never, Unfit<noted.CallSnapshot, typed.CallsSnapshot>>>();
holds<Same<never, Unfit<noted.AsyncStorage, typed.AsyncStorageLike>>>();
holds<Same<never, Unfit<noted.Clock, typed.Clock>>>();
