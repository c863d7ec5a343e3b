import createClient from 'openapi-fetch';
import type { paths } from './openapi.js';

/** Sends, pages, calls and is refused, as a driver. Returns the answers. */
export async function talk(baseUrl: string, token: string, booking_code: string) {
  const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });
  const hello = { booking_code, message: 'Hello \u{1F695}', client_message_id: 'ts-1', metadata: { colour: 'green' } };
  const sent = await client.POST('/api/v1/send_message', { body: hello });
  const again = await client.POST('/api/v1/send_message', { body: hello });
  const other = await client.POST('/api/v1/send_message', { body: { ...hello, message: 'Bye' } });
  const first = await client.GET('/api/v1/get_message', { params: { query: { booking_code, limit: 1 } } });
  const ring = await client.POST('/api/v1/make_call', { body: { booking_code, action: 'initiate' } });
  const call_id = ring.data?.call.call_id ?? '';
  const over = await client.POST('/api/v1/make_call', { body: { booking_code, action: 'end', call_id } });
  const late = await client.POST('/api/v1/make_call', { body: { booking_code, action: 'accept', call_id } });
  const log = await client.GET('/api/v1/calls', { params: { query: { booking_code } } });
  const stored = sent.data && 'message' in sent.data ? sent.data : undefined;
  const repeated = again.data && 'message' in again.data ? again.data : undefined;
  return {
    sent: [sent.response.status, stored?.message.seq, stored?.message.message, stored?.message.metadata],
    again: [again.response.status, repeated?.duplicate, repeated?.message.message_id === stored?.message.message_id],
    other: [other.response.status, other.error?.error.code],
    page: [first.data?.head_seq, first.data?.messages.map((each) => each.seq), first.data?.next_cursor],
    call: [ring.data?.call.state, over.data?.call.state, over.data?.call.end_reason],
    late: [late.response.status, late.error?.error.code],
    log: log.data?.calls.map((each) => each.call_id === call_id),
  };
}
