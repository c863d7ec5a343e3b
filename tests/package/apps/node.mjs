/** In Node, as a module: `node node.mjs SUPPORT`, the folder with the server that the client's tests have. */
import { connect } from 'navietakie';

const { talk } = await import(new URL('talk.mjs', import.meta.url));
await talk(connect, process.argv[2]);
