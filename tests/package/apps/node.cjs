/** The same by `require`. */
const { connect } = require('navietakie');

import('./talk.mjs').then(({ talk }) => talk(connect, process.argv[2]));
