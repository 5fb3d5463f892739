// wire: a connection whose bytes are all seen, and HTTP/1.1 messages read from it exactly as they came.
//
// Conn is one end of a TCP or TLS connection, for scripted clients and scripted providers alike. Nothing is
// hidden: what was read is kept raw beside its decoded form, a cut message says that it was cut, and a wait that
// lasts too long fails with what it waited for and what had come.

import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { limit } from './scenario.mjs';

const CRLF2 = Buffer.from('\r\n\r\n');

export const bytes = (x) => (Buffer.isBuffer(x) ? x : Buffer.from(x, 'utf8'));

// How bytes look in the report of a failure: control characters visible, the middle of long ones left out.
export function show(buffer, most = 4000) {
	const all = bytes(buffer);
	const text = (b) =>
		b.toString('latin1').replace(/[^\n\x20-\x7e]/g, (c) =>
			c === '\r' ? '\\r' : c === '\t' ? '\\t' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
	if (all.length <= most)
		return text(all);
	return `${text(all.subarray(0, most / 2))}\n[... ${all.length - most} bytes ...]\n${text(all.subarray(-most / 2))}`;
}

// TLS over a TCP socket that stays in our hands, so that a test can end or reset it under TLS's feet.
export function tlsOver(raw, options) {
	const between = new Duplex({
		read: () => raw.resume(),
		write: (data, _, done) => {
			if (!raw.destroyed && !raw.writableEnded)
				raw.write(data);
			done();
		},
		final: (done) => {
			raw.end();
			done();
		},
	});
	raw.on('data', (data) => between.push(data) || raw.pause());
	raw.on('end', () => between.push(null));
	raw.on('error', () => between.destroy());
	raw.on('close', () => between.destroy());
	return new TLSSocket(between, { isServer: true, ...options });
}

export class Conn {
	#parts = [];
	#len = 0;
	#wake = [];

	// `raw`: the TCP socket under a TLS one.
	constructor(socket, name, raw = socket) {
		this.socket = socket;
		this.raw = raw;
		this.name = name;
		this.ending = undefined; // 'end' or 'reset' once the peer has closed
		this.error = undefined;
		this.total = 0; // bytes received
		this.received = []; // all of them, for the report of a failure
		raw.setNoDelay(true);
		socket.on('data', (data) => {
			this.#parts.push(data);
			this.#len += data.length;
			this.total += data.length;
			if (this.total < 1 << 20)
				this.received.push(data);
			this.#woken();
		});
		socket.on('end', () => this.#over('end'));
		socket.on('close', () => this.#over(this.error ? 'reset' : 'end'));
		socket.on('error', (error) => {
			this.error = error;
			this.#over('reset');
		});
		if (raw !== socket)
			raw.on('error', () => {});
	}

	#over(how) {
		this.ending ??= how;
		this.#woken();
	}
	#woken() {
		for (const wake of this.#wake.splice(0))
			wake();
	}

	report() {
		return `--- ${this.name}: ${this.total} bytes came${this.ending ? `, then ${this.ending}` : ''}\n` +
			show(Buffer.concat(this.received));
	}

	// ---- sending

	// Resolves when the bytes were handed to the kernel; a peer that has gone is not an error here.
	send(data) {
		return new Promise((resolve) => {
			if (this.socket.destroyed || this.socket.writableEnded)
				resolve();
			else
				this.socket.write(bytes(data), () => resolve());
		});
	}
	// In pieces of these sizes (a number: all of that size), each its own write.
	async sendInPieces(data, sizes) {
		const all = bytes(data);
		for (let at = 0, i = 0; at < all.length; i++) {
			const size = typeof sizes === 'number' ? sizes : sizes[i] ?? all.length;
			await this.send(all.subarray(at, at + size));
			await new Promise((resolve) => setImmediate(resolve));
			at += size;
		}
	}
	// Our side is done (FIN; under TLS close_notify first); the other may go on.
	end() {
		this.socket.end();
	}
	// Gone at once with a reset.
	reset() {
		this.raw.resetAndDestroy();
	}
	// The TCP connection ends in the ordinary way; under TLS without close_notify.
	cut() {
		this.raw.end();
	}
	pause() {
		this.socket.pause();
	}
	resume() {
		this.socket.resume();
	}
	destroy() {
		this.socket.destroy();
		this.raw.destroy();
	}

	// ---- receiving

	get available() {
		return this.#len;
	}
	// All bytes that are here, without taking them.
	peek() {
		if (this.#parts.length > 1)
			this.#parts = [Buffer.concat(this.#parts)];
		return this.#parts[0] ?? Buffer.alloc(0);
	}
	take(n = this.#len) {
		const all = this.peek();
		this.#parts = n < all.length ? [all.subarray(n)] : [];
		this.#len = all.length - Math.min(n, all.length);
		return all.subarray(0, n);
	}
	// Wait until `enough()` or the peer has closed; false in the second case.
	async wait(enough, what, ms) {
		const end = Date.now() + limit(ms);
		while (!enough()) {
			if (this.ending)
				return false;
			const left = end - Date.now();
			if (left <= 0)
				throw new Error(`${this.name}: waited for ${what}; ${this.#len} bytes are unread`);
			await new Promise((resolve) => {
				const timer = setTimeout(resolve, left);
				this.#wake.push(() => {
					clearTimeout(timer);
					resolve();
				});
			});
		}
		return true;
	}
	// Exactly n bytes, or fewer when the peer closes.
	async read(n, ms) {
		await this.wait(() => this.#len >= n, `${n} bytes`, ms);
		return this.take(n);
	}
	// Up to and with the delimiter; null when the peer closes before it came.
	async readUntil(delimiter, ms) {
		const end = bytes(delimiter);
		let at = -1;
		const found = await this.wait(() => (at = this.peek().indexOf(end)) >= 0, show(end), ms);
		return found ? this.take(at + end.length) : null;
	}
	async readAll(ms) {
		await this.wait(() => false, 'the end of the connection', ms);
		return this.take();
	}
	// Wait for the peer to close, whatever it still sends: 'end' or 'reset'.
	async closed(ms) {
		this.resume();
		await this.wait(() => false, 'the peer to close the connection', ms);
		return this.ending;
	}
	// True when nothing comes and nobody closes for so long. (For what must not happen; keep it short.)
	async silent(ms) {
		const before = this.total;
		await new Promise((resolve) => setTimeout(resolve, ms));
		return this.total === before && !this.ending;
	}

	// ---- HTTP

	// The head of a request or reply and a body that is still to be read; null when the peer closed before it.
	async readHead({ method, ms } = {}) {
		const head = await this.readUntil(CRLF2, ms);
		return head && new Message(this, head, method);
	}
	async readRequest({ ms } = {}) {
		const message = await this.readHead({ ms });
		if (message)
			await message.finish(ms);
		return message;
	}
	// `method`: of the request, for HEAD. Interim replies (1xx) are kept in `interim`.
	async readReply({ method, ms } = {}) {
		const interim = [];
		for (;;) {
			const message = await this.readHead({ method, ms });
			if (!message)
				return null;
			message.interim = interim;
			if (message.status >= 100 && message.status < 200) {
				interim.push(message);
				continue;
			}
			await message.finish(ms);
			return message;
		}
	}
}

export class Message {
	#conn;
	#left = 0; // of the length, or of the current chunk
	#position = 0; // of what `until` gave out
	#parts = [];
	#rawParts = [];

	constructor(conn, head, method) {
		this.#conn = conn;
		this.head = head;
		const [startLine, ...lines] = head.toString('latin1').slice(0, -4).split('\r\n');
		this.startLine = startLine;
		this.fields = lines.map((line) => {
			const colon = line.indexOf(':');
			return [line.slice(0, colon), line.slice(colon + 1).trim()];
		});
		const words = startLine.split(' ');
		if (startLine.startsWith('HTTP/')) {
			this.status = Number(words[1]);
			this.reason = words.slice(2).join(' ');
		} else {
			[this.method, this.target, this.version] = words;
		}
		this.framing = this.#framing(method);
		this.done = this.framing === 'none' || (this.framing === 'length' && this.#left === 0);
		this.cut = false; // the peer closed before the body was complete
		this.chunks = []; // sizes
	}

	#framing(method) {
		if (this.status && (this.status < 200 || this.status === 204 || this.status === 304 || method === 'HEAD'))
			return 'none';
		if (this.header('transfer-encoding') !== undefined)
			return 'chunked';
		const length = this.header('content-length');
		if (length !== undefined) {
			this.#left = Number(length);
			return 'length';
		}
		return this.status ? 'close' : 'none';
	}

	// The value of a field, undefined when absent, joined with ", " when there are several.
	header(name) {
		const all = this.headers(name);
		return all.length ? all.join(', ') : undefined;
	}
	headers(name) {
		return this.fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v);
	}
	// All field names, lower case, in the order of the wire.
	get names() {
		return this.fields.map(([n]) => n.toLowerCase());
	}
	// The decoded body so far, and as it stood on the wire.
	get body() {
		if (this.#parts.length > 1)
			this.#parts = [Buffer.concat(this.#parts)];
		return this.#parts[0] ?? Buffer.alloc(0);
	}
	get rawBody() {
		return Buffer.concat(this.#rawParts);
	}
	get text() {
		return this.body.toString('utf8');
	}
	get json() {
		return JSON.parse(this.text);
	}
	get events() {
		return events(this.body);
	}

	#put(raw, data) {
		this.#rawParts.push(raw);
		if (data?.length)
			this.#parts.push(data);
	}
	async #line(ms) {
		const line = await this.#conn.readUntil('\r\n', ms);
		if (!line)
			throw new Cut();
		this.#rawParts.push(line);
		return line.toString('latin1').slice(0, -2);
	}
	async #some(most, ms) {
		if (!(await this.#conn.wait(() => this.#conn.available > 0, 'more of a body', ms)))
			throw new Cut();
		const data = this.#conn.take(Math.min(most, this.#conn.available));
		this.#put(data, data);
		return data.length;
	}

	// Read a little more of the body.
	async more(ms) {
		if (this.done || this.cut)
			return;
		try {
			if (this.framing === 'chunked')
				await this.#moreChunked(ms);
			else if (this.framing === 'length')
				this.done = (this.#left -= await this.#some(this.#left, ms)) === 0;
			else
				await this.#some(Infinity, ms);
		} catch (error) {
			if (!(error instanceof Cut))
				throw error;
			if (this.framing === 'close' && this.#conn.ending === 'end')
				this.done = true;
			else
				this.cut = true;
		}
	}
	async #moreChunked(ms) {
		if (this.#left === 0) {
			const size = await this.#line(ms);
			if (!/^[0-9a-fA-F]+(;.*)?$/.test(size))
				throw new Error(`${this.#conn.name}: not a chunk size: ${show(size)}`);
			this.#left = parseInt(size, 16);
			this.chunks.push(this.#left);
			if (this.#left === 0) {
				while ((await this.#line(ms)) !== '')
					;
				this.done = true;
				return;
			}
		}
		this.#left -= await this.#some(this.#left, ms);
		if (this.#left === 0 && (await this.#line(ms)) !== '')
			throw new Error(`${this.#conn.name}: no CRLF after a chunk`);
	}
	// The rest of the body.
	async finish(ms) {
		while (!this.done && !this.cut)
			await this.more(ms);
		return this;
	}
	// The decoded body from where the last call stopped, up to and with the delimiter; null when it ends before that.
	async until(delimiter, ms) {
		const end = bytes(delimiter);
		for (;;) {
			const at = this.body.indexOf(end, this.#position);
			if (at >= 0) {
				const from = this.#position;
				this.#position = at + end.length;
				return this.body.subarray(from, this.#position);
			}
			if (this.done || this.cut)
				return null;
			await this.more(ms);
		}
	}
	// The next event of an event stream, or null at its end. (LF line ends; comments stay in `raw`.)
	async event(ms) {
		for (;;) {
			const raw = await this.until('\n\n', ms);
			if (!raw)
				return null;
			const [event] = events(raw);
			if (event)
				return event;
		}
	}
}

class Cut extends Error {}

// An event stream taken apart: [{ event, data, raw }], blocks without data left out.
export function events(stream) {
	const all = [];
	for (const raw of bytes(stream).toString('utf8').split(/\r\n\r\n|\n\n|\r\r/)) {
		const lines = raw.split(/\r\n|\n|\r/);
		const field = (name) =>
			lines.filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).replace(/^ /, ''));
		const data = field('data');
		if (data.length)
			all.push({ event: field('event').at(-1), data: data.join('\n'), raw });
	}
	return all;
}

// ---- composing

// A request or reply from its start line, fields ({ name: value or [values] }) and body; Content-Length is added
// when there is a body and the fields frame it in no other way.
export function message(startLine, fields = {}, body = undefined) {
	const lines = [startLine];
	const names = Object.keys(fields).map((n) => n.toLowerCase());
	for (const [name, value] of Object.entries(fields))
		for (const one of [value].flat())
			if (one !== undefined)
				lines.push(`${name}: ${one}`);
	const data = body === undefined ? undefined : bytes(body);
	if (data && !names.includes('content-length') && !names.includes('transfer-encoding'))
		lines.push(`Content-Length: ${data.length}`);
	return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), data ?? Buffer.alloc(0)]);
}
export function chunk(data) {
	const all = bytes(data);
	return Buffer.concat([Buffer.from(`${all.length.toString(16)}\r\n`), all, Buffer.from('\r\n')]);
}
export const LAST_CHUNK = Buffer.from('0\r\n\r\n');
export function sse(data, event) {
	const text = typeof data === 'string' ? data : JSON.stringify(data);
	return `${event ? `event: ${event}\n` : ''}data: ${text}\n\n`;
}
