/** In Node, as a module: `node node.mjs SUPPORT`, where SUPPORT is the folder with the server of the client's tests. */
import { connect } from 'navietakie';

const { talk } = await import(new URL('talk.mjs', import.meta.url));
await talk(connect, process.argv[2]);
