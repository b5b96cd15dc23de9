// One websocket to the page's own server, opened again with growing pauses when it is lost.
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

export class Socket {
  constructor(path, handlers) {
    this.path = path;
    this.handlers = handlers;
    this.pause = FIRST_PAUSE_MS;
  }

  connect() {
    const url = new URL(this.path, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.raw = new WebSocket(url);
    this.raw.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      this.handlers.open();
    };
    this.raw.onmessage = (event) => this.handlers.message(JSON.parse(event.data));
    this.raw.onclose = () => {
      this.handlers.close();
      setTimeout(() => this.connect(), this.pause);
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
    };
  }

  // Sends the message, and after it the bytes that belong to it. False when there is no connection.
  send(message, bytes) {
    if (this.raw?.readyState !== WebSocket.OPEN) return false;
    this.raw.send(JSON.stringify(message));
    if (bytes) this.raw.send(bytes);
    return true;
  }
}
