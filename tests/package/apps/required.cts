/** The package in a module of the older kind. */
import client = require('navietakie');

const options: client.Options = { bookingCode: 'ride-7', sender: 'driver' };
const chat: client.Conversation = client.connect(options);
const stop: () => void = chat.on('message', ({ seq }: client.Message) => seq.toFixed());
const problem: client.NavieTakieError = new client.NavieTakieError({ code: 'network' });
export = { chat, stop, problem };
