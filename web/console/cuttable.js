/** A phone's line to the server, with a switch. While it is cut, open sockets break, and new ones and `fetch` fail. */
export class CuttableLine {
  cut = false;
  /** Called with the progress of an upload: the file's name, and 0 to 1. */
  uploaded = () => {};
  #uploads = new Set();
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
      if (options?.body instanceof FormData) return line.#upload(resource, options);
      return fetch(resource, options);
    };
  }

  /** Uploads by XMLHttpRequest, because `fetch` does not report the progress of an upload. */
  #upload(url, { body, signal }) {
    const { name } = body.get('file');
    const request = new XMLHttpRequest();
    this.#uploads.add(request);
    return new Promise((resolve, reject) => {
      request.upload.onprogress = ({ loaded, total }) => this.uploaded(name, loaded / total);
      request.onload = () => resolve({ ok: request.status < 300, status: request.status });
      signal?.addEventListener('abort', () => request.abort());
      request.onerror = request.onabort = () => reject(new TypeError('The line is lost'));
      request.onloadend = () => this.#uploads.delete(request);
      request.open('POST', url);
      request.send(body);
    });
  }

  set(cut) {
    this.cut = cut;
    if (!cut) return;
    for (const upload of this.#uploads) upload.abort();
    for (const socket of this.#sockets) {
      const lost = socket.onclose;
      socket.close();
      lost?.call(socket, new CloseEvent('close', { code: 1006 })); // a broken line sends no closing handshake
    }
    this.#sockets.clear();
  }
}

function deadSocket() {
  const socket = { readyState: WebSocket.CLOSED, onclose: null, send() {}, close() {} };
  setTimeout(() => socket.onclose?.(new CloseEvent('close', { code: 1006 })), 30);
  return socket;
}
