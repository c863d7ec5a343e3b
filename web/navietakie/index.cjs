/** For code that says `require`: the same module, not a copy. Node has it from 20.19 and 22.12 on. */
module.exports = require('./index.js');
