import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Access } from '../../web/navietakie/access.js';
import { NavieTakieError } from '../../web/navietakie/errors.js';
import { VirtualClock } from './support/clock.mjs';
import { jwt } from './support/tokens.mjs';

/** The driver's access; `told` is what it does, and whose token it says it is. */
function access({ token, ws = 'ws://a/ws', deviceId = 'd1', answer = async () => ({}) } = {}) {
  const clock = new VirtualClock();
  const told = [];
  const asked = [];
  const made = new Access({
    ...{ bookingCode: 'b 1', sender: 'driver', deviceId: () => deviceId, ws, clock, token },
    rest: { get: (...what) => (asked.push(what), answer()) },
    owner: (user) => told.push(['owner', user]),
    renew: () => told.push(['renew']),
    expired: ({ code, message }) => told.push([code, message]),
  });
  return { clock, told, asked, access: made };
}

const ofDriver = (more = {}) => jwt({ sub: 'anna', role: 'driver', booking_code: 'b 1', ...more });

test('without a token, the address names the booking, the side and the device', async () => {
  const { told, access: it } = access();
  const url = 'ws://a/ws?booking_code=b%201&sender=driver&device_id=d1';
  assert.deepEqual(await it.address(), { url, protocols: [] });
  assert.deepEqual(told, [['owner', null]]);
  const { access: asked } = access({ ws: 'ws://a/ws?x=1' });
  assert.equal((await asked.address()).url, url.replace('ws?', 'ws?x=1&'));
});

test('an empty token is none', async () => {
  const { told, access: it } = access({ token: '' });
  assert.deepEqual((await it.address()).protocols, []);
  assert.deepEqual(told, [['owner', null]]);
});

test('a token is a subprotocol, and says whose it is', async () => {
  const token = ofDriver();
  const { told, access: it } = access({ token });
  const { url, protocols } = await it.address();
  assert.deepEqual(protocols, ['navietakie.v1', `bearer.${token}`]);
  assert.doesNotMatch(url, /token|bearer/);
  assert.deepEqual(told, [['owner', 'anna']]);
  const nobody = access({ token: jwt({}) });
  await nobody.access.token();
  assert.deepEqual(nobody.told, [['owner', null]]);
});

for (const [what, claims] of [
  ['another side', { role: 'passenger' }],
  ['another booking', { booking_code: 'b 2' }],
]) {
  test(`a token for ${what} is refused here, with what it is for`, async () => {
    const { role = 'driver', booking_code: booking = 'b 1' } = claims;
    const { told, access: it } = access({ token: ofDriver(claims) });
    const message = `The token is for ${role} of ${booking}`;
    await assert.rejects(it.address(), { code: 'forbidden', retryable: false, message });
    assert.deepEqual(told, []);
  });
}

for (const token of ['no token', 'a\nb', 'Bearer a.b.c']) {
  test(`'${token}' is no token: for good where it is a text, for now where a function gave it`, async () => {
    const message = 'The token is no JWT';
    await assert.rejects(access({ token }).access.token(), { code: 'unauthorized', message, retryable: false });
    await assert.rejects(access({ token: () => token }).access.token(), { code: 'unauthorized', retryable: true });
  });
}

for (const deviceId of ['', 'ä', 'a\n', 'a'.repeat(65)]) {
  test(`a device cannot be called '${deviceId.slice(0, 9)}'`, async () => {
    const message = 'deviceId: 1 to 64 printable ASCII characters';
    const refused = { code: 'invalid_request', message, details: { field: 'device_id' } };
    await assert.rejects(access({ deviceId }).access.address(), refused);
  });
}

test('a device may be called by any printable ASCII of up to 64', async () => {
  const { url } = await access({ deviceId: `~ ${'a'.repeat(62)}` }).access.address();
  assert.match(url, /device_id=~%20a{62}$/);
});

test('a function is asked for each token, and told whether the last one was refused', async () => {
  const refusals = [];
  const { access: it } = access({ token: async (refused) => (refusals.push(refused), ofDriver()) });
  assert.equal(it.renewable, true);
  await it.token();
  it.refused = true;
  await it.token();
  it.lineOpened();
  await it.token();
  assert.deepEqual(refusals, [false, true, false]);
});

test('a function that gives no token within 15 seconds is late', async () => {
  const { clock, access: it } = access({ token: () => new Promise(() => {}) });
  const late = assert.rejects(it.token(), { code: 'timeout' });
  await clock.pass(15_000);
  await late;
});

test('another token takes the place of the one before', async () => {
  const { access: it } = access({ token: 'first' });
  assert.deepEqual([it.renewable, it.replace('first'), it.replace('second')], [false, false, true]);
  assert.equal(await it.token(), 'second');
});

for (const [what, error, reason, refused] of [
  ['lets this side in', null, null, false],
  ['gives no answer', new NavieTakieError({ code: 'network', retryable: true }), null, false],
  ['is not asked, the token being for another', new NavieTakieError({ code: 'forbidden' }), 'forbidden', false],
  ['is not asked, for a reason without a code', new Error('odd'), null, false],
  ['refuses the token', new NavieTakieError({ code: 'unauthorized', status: 401 }), 'unauthorized', true],
  ['forbids the booking', new NavieTakieError({ code: 'forbidden', status: 403 }), 'forbidden', false],
  ['is busy', new NavieTakieError({ code: 'unavailable', status: 503, retryable: true }), 'unavailable', false],
]) {
  test(`where REST ${what}, the reason of a failed handshake is ${reason ?? 'unknown'}`, async () => {
    const answer = async () => (error ? Promise.reject(error) : {});
    const { asked, access: it } = access({ token: 'token', answer });
    const found = await it.diagnose();
    assert.deepEqual([found?.code ?? null, it.refused], [reason, refused]);
    assert.deepEqual(asked, [['get_message', { booking_code: 'b 1', limit: 1 }]]);
  });
}

test('a refused token is no reason where another may be had', async () => {
  const answer = async () => Promise.reject(new NavieTakieError({ code: 'unauthorized', status: 401 }));
  const { access: it } = access({ token: () => 'token', answer });
  assert.deepEqual([await it.diagnose(), it.refused], [null, true]);
});

/** A connection with a token of so many seconds by the server's clock, which is `ahead` of ours. */
async function held({ seconds, ahead = 0, renewable = true }) {
  const scene = access();
  const exp = Math.round((scene.clock.now() + ahead) / 1_000) + seconds;
  const token = ofDriver({ exp });
  scene.access.replace(renewable ? () => token : token);
  await scene.access.address();
  scene.access.lineOpened();
  scene.told.splice(0);
  scene.access.heard(new Date(scene.clock.now() + ahead).toISOString());
  return scene;
}

for (const ahead of [0, 300_000, -300_000]) {
  test(`a token is renewed 30 seconds before its end by the server's clock (ahead: ${ahead})`, async () => {
    const { clock, told, access: it } = await held({ seconds: 600, ahead });
    await clock.pass(569_990);
    assert.deepEqual([told, it.refused], [[], false]);
    await clock.pass(20);
    assert.deepEqual([told, it.refused], [[['renew']], true]);
  });
}

test('a short token is renewed when a fifth of it is left, and again if that fails, until its end', async () => {
  const { clock, told } = await held({ seconds: 100 });
  await clock.pass(79_990);
  assert.deepEqual(told, []);
  await clock.pass(20);
  assert.equal(told.length, 1);
  await clock.pass(15_970);
  assert.equal(told.length, 1);
  await clock.pass(40);
  assert.equal(told.length, 2);
  await clock.pass(10_000);
  assert.deepEqual(told.at(-1), ['token_expired', 'The token has expired']);
  assert.equal(told.filter(([what]) => what === 'token_expired').length, 1);
});

test('in the last second of a token there is no time to renew it', async () => {
  const { clock, told } = await held({ seconds: 1 });
  await clock.pass(990);
  assert.deepEqual(told, []);
  await clock.pass(20);
  assert.deepEqual(told.map(([what]) => what), ['token_expired']);
});

test('a token that cannot be renewed holds until its end', async () => {
  const { clock, told } = await held({ seconds: 100, renewable: false });
  await clock.pass(99_990);
  assert.deepEqual(told, []);
  await clock.pass(20);
  assert.deepEqual(told, [['token_expired', 'The token has expired']]);
});

test('the end of a token is awaited on an open line only, and not for a day', async () => {
  const lost = await held({ seconds: 100 });
  lost.access.lineLost();
  await lost.clock.pass(200_000);
  const long = await held({ seconds: 86_400 });
  await long.clock.pass(86_500_000);
  assert.deepEqual([lost.told, long.told], [[], []]);
  const within = await held({ seconds: 86_399 });
  await within.clock.pass(86_500_000);
  assert.equal(within.told.length > 0, true);
});

test("the first frame of a connection tells the server's clock, and a frame without a time nothing", async () => {
  const { clock, told, access: it } = await held({ seconds: 100, renewable: false });
  it.heard(new Date(clock.now() + 90_000).toISOString());
  await clock.pass(50_000);
  assert.deepEqual(told, []);
  it.lineOpened();
  it.heard(undefined);
  it.heard(new Date(clock.now() + 45_000).toISOString());
  await clock.pass(5_010);
  assert.equal(told.length, 1);
});

test('a connection without a token has no end', async () => {
  const { clock, told, access: it } = access();
  await it.address();
  it.lineOpened();
  it.heard(new Date(clock.now()).toISOString());
  await clock.pass(86_400_000);
  assert.deepEqual(told, [['owner', null]]);
});
