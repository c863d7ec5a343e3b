import createClient from 'openapi-fetch';
import type { components, paths } from './openapi.js';

type Schemas = components['schemas'];

const client = createClient<paths>({ baseUrl: 'http://127.0.0.1:8000', headers: { authorization: 'Bearer token' } });

export async function say(message: string): Promise<Schemas['Message'] | null> {
  const { data, error } = await client.POST('/api/v1/send_message', {
    params: { header: { 'Idempotency-Key': '6f1c2a' } },
    body: { booking_code: 'test', message, metadata: { location: { lat: 52.52, lng: 13.405 }, colour: 'green' } },
  });
  if (error) throw new Error(`${explained(error.error.code)}: ${error.error.message}`);
  return 'message' in data ? data.message : null;
}

export async function read(cursor: string): Promise<[string, number | undefined][]> {
  const query = { booking_code: 'test', order: 'asc', sender: ['driver', 'system'], cursor } as const;
  const { data } = await client.GET('/api/v1/get_message', { params: { query: { ...query, sender: [...query.sender] } } });
  return (data?.messages ?? []).map((each) => [each.timestamp, each.seq]);
}

export async function call(): Promise<Schemas['CallState'] | undefined> {
  const ring = await client.POST('/api/v1/make_call', { body: { booking_code: 'test', action: 'initiate' } });
  const call_id = ring.data?.call.call_id ?? '';
  const report = { relayed: false, seconds: 151 };
  await client.POST('/api/v1/make_call', { body: { booking_code: 'test', action: 'report', call_id, report } });
  // @ts-expect-error What ends a call names it.
  await client.POST('/api/v1/make_call', { body: { booking_code: 'test', action: 'end' } });
  // @ts-expect-error There is no such action.
  await client.POST('/api/v1/make_call', { body: { booking_code: 'test', action: 'hold', call_id } });
  const { data } = await client.GET('/api/v1/calls', { params: { query: { booking_code: 'test' } } });
  return data?.calls[0]?.state;
}

export const receipt: Schemas['SendBody'] = { booking_code: 'test', sender: 'driver', read: 7 };
export const sides: Schemas['Side'][] = ['driver', 'passenger'];
// @ts-expect-error The company is no side.
export const other: Schemas['Side'] = 'agent';

function explained(code: Schemas['ErrorCode']): string {
  return code === 'token_expired' ? 'Sign in again' : code;
}
