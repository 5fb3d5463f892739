// client: a raw client of the daemon. `connect` gives a Conn (wire.mjs) with `request` added.

import net from 'node:net';
import tls from 'node:tls';
import { Conn, chunk, LAST_CHUNK, message } from './wire.mjs';

let count = 0;

// `to`: a daemon, a peer, a port, { host, port }, or { path } of a unix socket. `options.local`: the address to come from;
// `options.tls`: options of tls.connect.
export async function connect(to, options = {}) {
	const { host = '127.0.0.1', port, path } = typeof to === 'number' ? { port: to } : to;
	const raw = net.connect(path ? { path, allowHalfOpen: true }
		: { host: options.host ?? host, port: options.port ?? port, localAddress: options.local, allowHalfOpen: true });
	const socket = options.tls ? tls.connect({ socket: raw, servername: 'localhost', ...options.tls }) : raw;
	const conn = new Client(socket, options.name ?? `client ${++count}`, raw);
	await new Promise((resolve, reject) => {
		socket.once(options.tls ? 'secureConnect' : 'connect', resolve);
		socket.once('error', reject);
		socket.once('close', () => reject(new Error('the connection was closed before it was one')));
	});
	return conn;
}

class Client extends Conn {
	// Send a request. `json` is a body written by JSON.stringify with its Content-Type, unless `body` has the bytes
	// themselves; `chunked`: true, or sizes of chunks; `pieces`: sizes of writes, to cut the message anywhere.
	async request({ method, path = '/', headers = {}, json, body, chunked, pieces, version = 'HTTP/1.1' }) {
		const data = body ?? (json === undefined ? undefined : JSON.stringify(json));
		const fields = { Host: 'localhost' };
		if (data !== undefined)
			fields['Content-Type'] = 'application/json';
		Object.assign(fields, headers);
		let whole;
		if (chunked) {
			fields['Transfer-Encoding'] = 'chunked';
			const all = Buffer.from(data);
			const parts = [];
			for (let at = 0, i = 0; at < all.length; i++) {
				const size = chunked === true ? all.length : typeof chunked === 'number' ? chunked : chunked[i] ?? all.length;
				parts.push(chunk(all.subarray(at, at + size)));
				at += size;
			}
			whole = message(this.#startLine(method ?? 'POST', path, version), fields, Buffer.concat([...parts, LAST_CHUNK]));
		} else {
			whole = message(this.#startLine(method ?? (data === undefined ? 'GET' : 'POST'), path, version), fields, data);
		}
		await (pieces ? this.sendInPieces(whole, pieces) : this.send(whole));
	}
	#startLine(method, path, version) {
		return `${method} ${path} ${version}`;
	}
	// A request and its reply on this connection.
	async exchange(options) {
		await this.request(options);
		return this.readReply({ method: options.method, ms: options.ms });
	}
}
