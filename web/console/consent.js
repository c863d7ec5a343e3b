import { h } from './dom.js';
import { address, isForeign, keepToken, originsOf, tokenOf, trust } from './settings.js';

/** If a link asks for something that only the user may decide, asks the user. Resolves with the settings to use. */
export async function consent(settings) {
  if (isForeign(settings)) {
    const { api, ws } = originsOf(settings);
    const yes = await ask('Open another server?', 'A link has named it. It will see all that you write here.', {
      facts: [
        ['REST', api],
        ['WebSocket', ws.replace(/^http/, 'ws')],
      ],
      no: 'Stay on this server',
      yes: 'Open it',
    });
    if (!yes) {
      const own = { ...settings, api: undefined, ws: undefined, tokens: {} };
      history.replaceState(null, '', address(own));
      return own;
    }
    trust(settings);
  }
  for (const [side, token] of Object.entries(settings.tokens)) {
    const kept = tokenOf(settings, side);
    if (kept === token) continue;
    const replaced =
      !kept ||
      (await ask('Replace the token?', `The link has another token for the ${side} than the one kept here.`, {
        facts: [['Booking', settings.booking]],
        no: 'Keep mine',
        yes: `Take the link's`,
      }));
    if (replaced) keepToken(settings, side, token);
  }
  return settings;
}

function ask(title, words, { facts, no, yes }) {
  return new Promise((decided) => {
    const choose = (choice) => () => {
      decided(choice);
      dialog.remove();
    };
    const list = facts.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]).flat();
    const actions = h(
      'div',
      { class: 'actions' },
      h('button', { class: 'button', type: 'button', onclick: choose(false) }, no),
      h('button', { class: 'button main', type: 'button', onclick: choose(true) }, yes),
    );
    const heading = h('h2', { id: 'question' }, title);
    const dialog = h('dialog', { 'aria-labelledby': heading.id }, heading, h('p', {}, words), h('dl', {}, list), actions);
    dialog.oncancel = choose(false);
    document.body.append(dialog);
    dialog.showModal();
  });
}
