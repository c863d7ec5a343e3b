"""Mutation testing of the JavaScript client, by Stryker. `make mutants-client`; docs/reliability.md.

Stryker changes `web/navietakie/*.js` and runs `tests/client` on each change, all in one process: `hooks.mjs` gives
those tests Mocha in place of `node:test`. `__main__.py` starts it and makes the report.
"""
