/** A phone's line to the server, with a switch: while it is cut, sockets break, new ones fail, and so does `fetch`. */
export class CuttableLine {
  cut = false;
  #sockets = new Set();

  constructor() {
    const line = this;
    /** A WebSocket class that goes through this line. */
    this.WebSocket = function LineSocket(url, protocols) {
      if (line.cut) return deadSocket();
      const socket = new WebSocket(url, protocols);
      line.#sockets.add(socket);
      socket.addEventListener('close', () => line.#sockets.delete(socket));
      return socket;
    };
    this.fetch = async (resource, options) => {
      if (line.cut) throw new TypeError('The line is cut');
      return fetch(resource, options);
    };
  }

  set(cut) {
    this.cut = cut;
    if (!cut) return;
    for (const socket of this.#sockets) {
      const lost = socket.onclose;
      socket.close();
      lost?.call(socket, new CloseEvent('close', { code: 1006 })); // a broken line does not wait for a goodbye
    }
    this.#sockets.clear();
  }
}

function deadSocket() {
  const socket = { readyState: WebSocket.CLOSED, onclose: null, send() {}, close() {} };
  setTimeout(() => socket.onclose?.(new CloseEvent('close', { code: 1006 })), 30);
  return socket;
}
