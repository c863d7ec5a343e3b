import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const READ = `
import json, sys
sys.path[:0] = ["functions", "layers/shared"]
import get_message.app, make_call.app, send_message.app, websocket.app
from navietakie.doors.budget import UNLISTED_COST, UNITS_AT_ONCE, UNITS_PER_SECOND
told = {"otherwise": UNLISTED_COST, "at_once": UNITS_AT_ONCE, "per_second": UNITS_PER_SECOND, "functions": {}}
for module in (get_message.app, make_call.app, send_message.app, websocket.app):
    costs = module.budget.costs
    plain = {route: cost if isinstance(cost, int) else cost({}) for route, cost in costs.items()}
    filtered = {route: cost({"sender": "driver"}) for route, cost in costs.items() if not isinstance(cost, int)}
    told["functions"][module.__package__.replace("_", "-")] = {"plain": plain, "filtered": filtered}
print(json.dumps(told))
`;

/** The prices of the functions' routes, read from their code. */
const told = JSON.parse(execFileSync('.venv/bin/python', ['-c', READ], { cwd: ROOT, encoding: 'utf8' }));
export const UNITS_AT_ONCE = told.at_once;
const UNIT_MS = 1_000 / told.per_second;

/** The function of each action without a price: API Gateway's `$default` goes to websocket. */
const functionOf = (route) =>
  Object.keys(told.functions).find((name) => route in told.functions[name].plain) ?? 'websocket';

/**
 * The damper of each function: a GCRA of units by role. Every request of a booking meets the same container. It stands in
 * front of a world's server, and counts what the world's devices ask.
 */
export class Damper {
  /** The most units that a role has used at once, by function and role. */
  most = {};
  /** How often each route was used, by function. */
  asked = {};
  /** The requests that were too many. */
  refused = [];
  #allowances = new Map();
  #clock;

  constructor({ server, clock }) {
    this.#clock = clock;
    const [handles, fetches] = [server.refuse, server.fetch];
    server.admits = ({ sender }) => !this.#take(sender, '$connect');
    server.refuse = (frame, { sender }) => {
      const retry_after_ms = this.#take(sender, frame.action);
      return retry_after_ms ? { code: 'rate_limited', retryable: true, retry_after_ms } : handles(frame);
    };
    /** The `fetch` of a role's device. */
    this.fetchOf = (sender) => async (url, options) => {
      const { pathname, searchParams } = new URL(url);
      if (!pathname.startsWith('/api/')) return fetches(url, options); // the storage has no damper
      const filtered = searchParams.has('sender') || searchParams.has('message_type');
      const wait = this.#take(sender, `GET ${pathname}`, filtered);
      if (!wait) return fetches(url, options);
      const headers = { 'retry-after': String(Math.ceil(wait / 1_000)) };
      return Response.json({ error: { code: 'rate_limited' } }, { status: 429, headers });
    };
  }

  /** Takes a request's cost. Returns by how many milliseconds the request is too early; 0: it is admitted. */
  #take(role, route, filtered = false) {
    const name = functionOf(route);
    const { plain, filtered: higher } = told.functions[name];
    const cost = (filtered && higher[route]) || (plain[route] ?? told.otherwise);
    const now = this.#clock.now();
    const key = `${name} ${role}`;
    const start = Math.max(this.#allowances.get(key) ?? 0, now);
    const over = start + UNIT_MS * (Math.max(1, cost) - UNITS_AT_ONCE) - now;
    if (over > 0) {
      this.refused.push({ role, route, at: now });
      return Math.ceil(over);
    }
    const after = start + UNIT_MS * cost;
    this.#allowances.set(key, after);
    this.most[key] = Math.max(this.most[key] ?? 0, Math.ceil((after - now) / UNIT_MS));
    this.asked[route] = (this.asked[route] ?? 0) + 1;
    return 0;
  }
}
