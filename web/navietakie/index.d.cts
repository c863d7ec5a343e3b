/** The types of index.d.ts for code that says `require`. */
import type * as client from './index.js' with { 'resolution-mode': 'import' };

export type * from './index.js' with { 'resolution-mode': 'import' };
export declare const connect: typeof client.connect;
export declare const Conversation: typeof client.Conversation;
export declare const NavieTakieError: typeof client.NavieTakieError;
export type Conversation = client.Conversation;
export type NavieTakieError = client.NavieTakieError;
