// peer: a scripted provider. It does nothing by itself: a test takes its connections one by one with `accept`
// and says what happens on each, or gives a function that answers every request (`serve`).

import { execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './scenario.mjs';
import { Conn, message, tlsOver } from './wire.mjs';

let count = 0;

// A bare system may lack /etc/hosts; the certificate is good for the number too.
export const hasLocalhost = await lookup('localhost').then(() => true, () => false);
const localhost = hasLocalhost ? 'localhost' : '127.0.0.1';

export class Peer {
	#server;
	#waiting = []; // connections that nobody has accepted yet
	#answer;

	// `host`: 127.0.0.1 or ::1. `tls`: true (a certificate of `certificates()` for localhost), or options of
	// tls.TLSSocket. `name`: for reports.
	constructor({ host = '127.0.0.1', port = 0, tls, name } = {}) {
		this.name = name ?? `peer ${++count}`;
		this.host = host;
		this.port = port;
		this.connections = []; // all that ever came
		this.requests = []; // read by `serve`
		this.failure = undefined; // of an answer function
		this.tls = tls === true ? certificates().server : tls;
		this.#server = net.createServer({ allowHalfOpen: true }, (raw) => this.#connected(raw));
	}
	#connected(raw) {
		const socket = this.tls ? tlsOver(raw, this.tls) : raw;
		const conn = new Conn(socket, `${this.name}, connection ${this.connections.length + 1}`, raw);
		this.connections.push(conn);
		if (this.#answer)
			this.#serve(conn).catch((error) => (this.failure ??= error));
		else
			this.#waiting.push(conn);
	}
	async listen() {
		await new Promise((resolve, reject) => {
			this.#server.once('error', reject);
			this.#server.listen(this.port, this.host, resolve);
		});
		this.port = this.#server.address().port;
	}
	// For base_url, without a path.
	get url() {
		const host = this.tls ? localhost : this.host.includes(':') ? `[${this.host}]` : this.host;
		return `${this.tls ? 'https' : 'http'}://${host}:${this.port}`;
	}
	// The next connection.
	async accept(ms) {
		await until(() => this.#waiting.length > 0, `${this.name} has a connection`, ms);
		return this.#waiting.shift();
	}
	// The next connection and the first request on it.
	async request(ms) {
		const conn = await this.accept(ms);
		return { conn, request: await conn.readRequest({ ms }) };
	}
	// Connections that are open on both sides.
	get open() {
		return this.connections.filter((c) => !c.ending && !c.socket.destroyed);
	}

	// From now on answer each request with what `answer(request, conn, n)` gives: bytes, or { status, headers, body },
	// or nothing when it has sent its answer itself. An exception in it fails the test at its end.
	serve(answer) {
		this.#answer = answer;
		for (const conn of this.#waiting.splice(0))
			this.#serve(conn).catch((error) => (this.failure ??= error));
	}
	async #serve(conn) {
		for (;;) {
			const request = await conn.readRequest({ ms: 600000 });
			if (!request || request.cut)
				break;
			this.requests.push(request);
			const given = await this.#answer(request, conn, this.requests.length);
			if (given !== undefined && given !== null)
				await conn.send(Buffer.isBuffer(given) || typeof given === 'string' ? given : reply(given));
		}
		conn.end();
	}

	// No more connections are taken: the next one is refused.
	close() {
		this.#server.close();
	}
	stop() {
		this.#server.close();
		for (const conn of this.connections)
			conn.destroy();
		if (this.failure)
			throw this.failure;
	}
	report() {
		return [`--- ${this.name} on ${this.host}:${this.port}: ${this.connections.length} connections` +
			(this.failure ? `; its answer failed: ${this.failure.stack}` : ''),
			...this.connections.map((c) => c.report())].join('\n');
	}
}

// A reply as bytes. A body that is no string or Buffer is written as JSON.
export function reply({ status = 200, reason = 'OK', headers = {}, body = '' } = {}) {
	const isBytes = typeof body === 'string' || Buffer.isBuffer(body);
	const fields = { 'Content-Type': 'application/json', ...headers };
	return message(`HTTP/1.1 ${status} ${reason}`, fields, isBytes ? body : JSON.stringify(body));
}
// The head of a chunked event stream.
export function streamHead(headers = {}) {
	return message('HTTP/1.1 200 OK', {
		'Content-Type': 'text/event-stream; charset=utf-8', 'Transfer-Encoding': 'chunked', ...headers,
	});
}

let made;

// A CA, a server certificate for localhost and 127.0.0.1 signed by it, and a client's, made once in a process by
// openssl: { dir, caFile, server: { key, cert, keyFile, certFile }, client: { keyFile, certFile }, other: { caFile } };
// `other` is a CA that signed nothing here but what `issue` is asked for: issue(name, { authority, extension, dates })
// makes another certificate: { keyFile, certFile }; `dates`: the first and the last second, YYYYMMDDHHMMSSZ.
export function certificates() {
	if (made)
		return made;
	const dir = mkdtempSync(join(tmpdir(), 'api-router-certificates-'));
	process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
	const file = (name) => join(dir, name);
	const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
	const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
	const authority = (name) =>
		openssl('req', '-x509', ...key, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`),
			'-days', '2', '-subj', `/CN=${name}`);
	const signed = (name, extension, authority = 'ca', dates = undefined) => {
		openssl('req', ...key, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`);
		writeFileSync(file(`${name}.ext`), extension);
		if (dates === undefined) {
			openssl('x509', '-req', '-in', file(`${name}.csr`), '-CA', file(`${authority}.pem`), '-CAkey', file(`${authority}.key`),
				'-CAcreateserial', '-days', '2', '-extfile', file(`${name}.ext`), '-out', file(`${name}.pem`));
			return;
		}
		writeFileSync(file('ca.conf'), '[ca]\ndefault_ca=x\n[x]\npolicy=p\ndefault_md=sha256\nrand_serial=yes\n' +
			`unique_subject=no\ndatabase=${file('index')}\nnew_certs_dir=${dir}\n[p]\ncommonName=supplied\n`);
		writeFileSync(file('index'), '');
		openssl('ca', '-batch', '-config', file('ca.conf'), '-in', file(`${name}.csr`), '-cert', file(`${authority}.pem`),
			'-keyfile', file(`${authority}.key`), '-startdate', dates[0], '-enddate', dates[1], '-extfile', file(`${name}.ext`),
			'-out', file(`${name}.pem`), '-notext');
	};
	authority('ca');
	authority('other');
	signed('localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
	signed('client', 'extendedKeyUsage=clientAuth\n');
	made = {
		dir,
		caFile: file('ca.pem'),
		other: { caFile: file('other.pem') },
		server: {
			key: readFileSync(file('localhost.key')), cert: readFileSync(file('localhost.pem')),
			keyFile: file('localhost.key'), certFile: file('localhost.pem'),
		},
		client: { keyFile: file('client.key'), certFile: file('client.pem') },
		issue: (name, { authority, extension = 'subjectAltName=DNS:localhost,IP:127.0.0.1\n', dates } = {}) => {
			signed(name, extension, authority, dates);
			return { keyFile: file(`${name}.key`), certFile: file(`${name}.pem`) };
		},
	};
	return made;
}
