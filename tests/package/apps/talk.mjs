/** Two clients talk over the in-memory server of the client's tests. Prints what the passenger got. */
import { pathToFileURL } from 'node:url';

export async function talk(connect, support) {
  const load = (name) => import(pathToFileURL(`${support}/${name}.mjs`));
  const { VirtualClock } = await load('clock');
  const { FakeServer } = await load('server');
  const clock = new VirtualClock();
  const server = new FakeServer(clock);
  const open = (sender) =>
    connect({
      ...{ bookingCode: 'test', sender, api: 'http://fake', ws: 'ws://fake/ws', storage: null, clock },
      ...{ WebSocket: server.WebSocket, fetch: server.fetch },
    });
  const [driver, passenger] = [open('driver'), open('passenger')];
  await clock.pass(500);
  driver.send('Hello');
  await clock.pass(500);
  console.log(passenger.messages.map((each) => each.message).join());
  driver.close();
  passenger.close();
}
