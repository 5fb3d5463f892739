// tls-listen: listeners that speak TLS: what is agreed upon and what is refused, sessions across workers and reloads, certificates
// of clients and new ones of the server, handshakes that stall, and the ways in which connections end.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { connect } from '../lib/client.mjs';
import { certificates, streamHead } from '../lib/peer.mjs';
import { descriptorCount, mappings, residentKib, workers } from '../lib/processes.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK, sse } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const echo = { dialect: 'echo', models: ['echo'] };
const chat = (text = 'hello', more = {}) => ({ path: CHAT, json: { model: 'echo', messages: [{ role: 'user', content: text }], ...more } });
const of = ({ certFile, keyFile }, more = {}) => ({ certificate_file: certFile, key_file: keyFile, ...more });
const listener = (more = {}) => ({ address: '127.0.0.1', port: 0, tls: of(certificates().server, more) });
const plain = { address: '127.0.0.1', port: 0 };
// A TLS listener first, a plain one behind it for what the test wants to know.
const config = (more = {}, tlsMore = {}) => ({ listen: [listener(tlsMore), plain], providers: { echo }, log: { level: 'debug' }, ...more });
const versions = ['TLSv1.2', 'TLSv1.3'];
const hasIpv6 = Object.values(networkInterfaces()).flat().some((a) => a.address === '::1');

const trusting = (more = {}) => ({ ca: readFileSync(certificates().caFile), ...more });
const only = (version) => trusting({ minVersion: version, maxVersion: version });
const secure = (s, d, more = {}) => s.connect(d.listeners[0].port, { tls: trusting(more) });
const clientOf = ({ certFile, keyFile }) => ({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
const plainPort = (d) => d.listeners.at(-1).port;

async function closes(s, d, reason) {
	const { text } = await s.request(plainPort(d), { path: '/metrics' });
	const found = text.match(new RegExp(`^api_router_closes_total\\{side="client",reason="${reason}"\\} (\\d+)$`, 'm'));
	return Number(found?.[1] ?? 0);
}
async function reload(d) {
	const before = [...d.log.matchAll(/ready: \d+ workers, generation/g)].length;
	d.signal('SIGHUP');
	await until(() => [...d.log.matchAll(/ready: \d+ workers, generation/g)].length > before, 'the new generation is ready');
}
// The session that a connection ends up with: of TLS 1.2 from its handshake, of 1.3 behind it.
function sessionOf(conn) {
	return conn.socket.getProtocol() === 'TLSv1.2' ? conn.socket.getSession() : new Promise((done) => conn.socket.once('session', done));
}
function openssl(d, ...args) {
	return spawnSync('openssl', ['s_client', '-connect', `127.0.0.1:${d.listeners[0].port}`, ...args], { input: '', encoding: 'utf8' });
}

// ---- what is agreed upon

scenario('requests and streams over TLS 1.2 and 1.3', async (s) => {
	const d = await s.daemon(config());
	for (const version of versions) {
		const client = await s.connect(d.listeners[0].port, { tls: only(version) });
		assert.equal(client.socket.getProtocol(), version);
		assert.equal(client.socket.alpnProtocol, false);
		for (let i = 0; i < 3; i++) { // one connection for all of them
			const reply = await client.exchange(chat(`number ${i}`));
			assert.equal(reply.status, 200);
			assert.equal(reply.json.choices[0].message.content, `number ${i}`);
		}
		const streamed = await client.exchange(chat('as a stream', { stream: true }));
		assert.equal(streamed.cut, false);
		assert.equal(streamed.events.at(-1).data, '[DONE]');
		assert.equal(streamed.events.slice(0, -1).map((e) => JSON.parse(e.data).choices[0]?.delta.content ?? '').join(''), 'as a stream');
	}
	assert.equal((await until(() => d.access.length === 8 && d.access, 'eight lines')).every((l) => l.status === 200 && l.client_ip === '127.0.0.1'), true);
});

scenario('a request that comes with the end of the handshake, and one behind another', async (s) => {
	const d = await s.daemon(config());
	const client = await secure(s, d);
	const two = Buffer.from('GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n');
	await client.send(two);
	assert.equal((await client.readReply()).json.status, 'ok');
	assert.equal((await client.readReply()).json.data[0].id, 'echo');
	await client.sendInPieces(two, 1);
	assert.equal((await client.readReply()).json.status, 'ok');
	assert.equal((await client.readReply()).json.data[0].id, 'echo');
});

scenario('ALPN: http/1.1 where it is offered, an alert where it is not', async (s) => {
	const d = await s.daemon(config());
	for (const offers of [['http/1.1'], ['h2', 'http/1.1']])
		assert.equal((await secure(s, d, { ALPNProtocols: offers })).socket.alpnProtocol, 'http/1.1');
	await assert.rejects(secure(s, d, { ALPNProtocols: ['h2'] }), /no application protocol/);
	await d.waitLog(/debug worker 0\[\d+\]: the TLS handshake of 127\.0\.0\.1 failed: no application protocol\n/);
});

scenario('older versions and weaker suites are refused, logged and counted', async (s) => {
	const d = await s.daemon(config());
	const cases = [
		[['-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0'], /alert protocol version/, 'unsupported protocol'],
		[['-tls1', '-cipher', 'DEFAULT:@SECLEVEL=0'], /alert protocol version/, 'unsupported protocol'],
		[['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256'], /handshake failure/, 'no shared cipher'],
		[['-tls1_2', '-cipher', 'AES128-GCM-SHA256'], /handshake failure/, 'no shared cipher'],
		[['-tls1_3', '-groups', 'P-521'], /handshake failure/, 'no suitable key share'],
	];
	for (const [args, told, why] of cases) {
		const after = d.log.length;
		const run = openssl(d, ...args);
		assert.match(run.stderr + run.stdout, told, args.join(' '));
		assert.match((await d.waitLog(/the TLS handshake of 127\.0\.0\.1 failed: (.*)\n/, { after }))[1], new RegExp(why));
	}
	await until(async () => await closes(s, d, 'tls') === cases.length, 'each is counted');
	const good = openssl(d, '-tls1_2', '-cipher', 'ALL');
	assert.match(good.stdout, /Cipher is ECDHE-ECDSA-(AES\d+-GCM|CHACHA20)/);
	assert.match(good.stdout, /Compression: NONE/);
	assert.match(good.stdout, /Secure Renegotiation IS supported/);
	assert.match(openssl(d, '-tls1_3').stdout, /New, TLSv1\.3, Cipher is TLS_/);
});

scenario('renegotiation is refused', async (s) => {
	const d = await s.daemon(config());
	const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${d.listeners[0].port}`, '-tls1_2']);
	s.keep({ stop: () => client.kill('SIGKILL') });
	let said = '';
	for (const stream of [client.stdout, client.stderr])
		stream.on('data', (data) => (said += data));
	await until(() => said.includes('Extended master secret'), 'the first handshake');
	client.stdin.write('R\n');
	await until(() => /no renegotiation/.test(said), 'the refusal');
	assert.equal((await (await secure(s, d)).exchange(chat())).status, 200);
});

scenario('plain HTTP at a port for TLS is answered in plain', async (s) => {
	const d = await s.daemon(config());
	for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
		const client = await s.connect(d.listeners[0].port);
		await client.request({ method, path: '/v1/models?q=1', body: method === 'POST' ? 'x'.repeat(100000) : undefined });
		const reply = await client.readReply();
		assert.equal(reply.status, 400);
		assert.equal(reply.header('connection'), 'close');
		assert.match(reply.json.error.message, /this port is for TLS: ask it by https, not by http/);
		assert.equal(await client.closed(), 'end');
	}
	assert.equal((await until(() => d.access.length === 4 && d.access, 'four lines')).every((l) => l.status === 400 && l.end === 'refused'), true);
	const odd = await s.connect(d.listeners[0].port); // neither
	await odd.send('\x00\x01\x02nothing that anybody knows');
	assert.equal(await odd.closed(), 'end');
	await until(async () => await closes(s, d, 'tls') === 1 && await closes(s, d, 'refused') === 4, 'all are counted');
});

scenario('TLS at a plain port is refused at once', async (s) => {
	const d = await s.daemon(config());
	await assert.rejects(s.connect(plainPort(d), { tls: trusting() }), /wrong version number|packet length too long/);
	assert.equal((await d.waitAccess()).status, 400);
});

// ---- sessions

for (const version of versions) {
	scenario(`a session of ${version} is resumed by every worker, and after reloads`, async (s) => {
		const d = await s.daemon(config({ workers: 4 }));
		const first = await s.connect(d.listeners[0].port, { tls: only(version) });
		const had = sessionOf(first);
		assert.equal((await first.exchange(chat())).status, 200);
		assert.equal(first.socket.isSessionReused(), false);
		const session = await had;
		const everywhere = async () => {
			const pids = new Set(workers(d)), met = new Set();
			const open = [];
			for (let i = 0; met.size < 4; i++) {
				assert.ok(i < 400, `only ${met.size} of 4 workers were met`);
				const client = await s.connect(d.listeners[0].port, { tls: { ...only(version), session } });
				assert.equal(client.socket.isSessionReused(), true);
				const id = `r-${version}-${d.access.length}-${i}`;
				assert.equal((await client.exchange({ ...chat(), headers: { 'X-Request-Id': id } })).status, 200);
				const worker = (await d.waitAccess(id)).worker;
				assert.ok(pids.has(worker));
				met.add(worker);
				open.push(client); // so that the others have fewer
			}
			open.forEach((c) => c.destroy());
		};
		await everywhere();
		for (let i = 0; i < 2; i++) {
			const old = workers(d);
			await reload(d);
			first.destroy();
			await until(() => workers(d).every((pid) => !old.includes(pid)), 'the old workers have gone');
			await everywhere();
		}
	});
}

scenario('the keys of tickets are in no core dump', async (s) => {
	const d = await s.daemon(config());
	for (const pid of [d.pid, ...workers(d)]) {
		const found = mappings(pid).filter((m) => m.includes('api-router-ticket'));
		assert.equal(found.length, 1);
		assert.match(found[0], /^VmFlags:.* dd\b/m);
	}
});

// ---- certificates

scenario('clients must have a certificate of client_ca_file', async (s) => {
	const c = certificates();
	const d = await s.daemon(config({}, { client_ca_file: c.caFile }));
	const wrong = c.issue('stranger', { authority: 'other', extension: 'extendedKeyUsage=clientAuth\n' });
	const expired = c.issue('expired', { extension: 'extendedKeyUsage=clientAuth\n', dates: ['20200101000000Z', '20210101000000Z'] });
	const purpose = c.issue('server-only', { extension: 'extendedKeyUsage=serverAuth\n' });
	for (const version of versions) {
		const client = await s.connect(d.listeners[0].port, { tls: { ...only(version), ...clientOf(c.client) } });
		const had = sessionOf(client);
		assert.equal((await client.exchange(chat())).status, 200);
		const again = await s.connect(d.listeners[0].port, { tls: { ...only(version), session: await had } });
		assert.equal(again.socket.isSessionReused(), true, 'a session that began with a certificate needs none');
		const cases = [
			[{}, 'peer did not return a certificate', /certificate required|handshake failure|ECONNRESET|closed/],
			[clientOf(wrong), 'certificate refused: unable to get local issuer certificate', /unknown ca/],
			[clientOf(expired), 'certificate refused: certificate has expired', /certificate expired/],
			[clientOf(purpose), 'certificate refused: uns[a-z]+ certificate purpose', /unsupported certificate/i],
		];
		for (const [identity, why, alert] of cases) {
			const after = d.log.length;
			// With TLS 1.3 a client has its handshake before the server has looked at the certificate.
			const failed = await s.connect(d.listeners[0].port, { tls: { ...only(version), ...identity } })
				.then(async (conn) => (await conn.closed(), conn.error ?? new Error('closed')), (error) => error);
			assert.match(failed.message, alert, why);
			assert.match((await d.waitLog(/info worker 0\[\d+\]: the TLS handshake of 127\.0\.0\.1 failed: (.*)\n/, { after }))[1], new RegExp(`^${why}`, 'i'));
		}
	}
	await until(async () => await closes(s, d, 'tls') === 8, 'each is counted');
});

scenario('a new certificate comes with a reload; a stream on the old one goes on to its end', async (s) => {
	const dir = s.temporaryDirectory();
	const files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
	const put = (from) => {
		copyFileSync(from.certFile, files.certFile);
		copyFileSync(from.keyFile, files.keyFile);
		chmodSync(files.keyFile, 0o600);
	};
	const renewed = certificates().issue('renewed');
	put(certificates().server);
	const provider = await s.peer();
	const d = await s.daemon({
		listen: [{ address: '127.0.0.1', port: 0, tls: of(files) }, plain],
		providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] }, echo },
	});
	const name = (conn) => conn.socket.getPeerCertificate().subject.CN;
	const onOld = await secure(s, d), idle = await secure(s, d);
	await idle.exchange(chat());
	await onOld.request({ path: CHAT, json: { model: 'm', stream: true, messages: [] } });
	const { conn } = await provider.request();
	await conn.send(Buffer.concat([streamHead(), chunk(sse('{"n":1}'))]));
	const reply = await onOld.readHead();
	assert.equal((await reply.event()).data, '{"n":1}');
	put(renewed);
	await reload(d);
	const fresh = await secure(s, d);
	assert.deepEqual([name(onOld), name(idle), name(fresh)], ['localhost', 'localhost', 'renewed']);
	assert.equal((await fresh.exchange(chat())).status, 200);
	const last = await idle.exchange(chat());
	assert.equal(last.status, 200);
	assert.equal(last.header('connection'), 'close');
	await conn.send(Buffer.concat([chunk(sse('{"n":2}')), chunk(sse('[DONE]')), LAST_CHUNK]));
	await reply.finish();
	assert.equal(reply.cut, false);
	assert.deepEqual(reply.events.map((e) => e.data), ['{"n":1}', '{"n":2}', '[DONE]']);
	assert.equal(await onOld.closed(30000), 'end'); // kept for 10 s, as one more request might come
	// and one that cannot be used changes nothing
	copyFileSync(certificates().server.keyFile, files.keyFile);
	const after = d.log.length;
	d.signal('SIGHUP');
	const line = d.config.split('\n').findIndex((l) => l.includes('key_file')) + 1;
	await d.waitLog(new RegExp(`error master\\[\\d+\\]: ${d.configFile}:${line}: listen\\[0\\]\\.tls\\.key_file does not belong to the certificate of certificate_file: ${files.keyFile}: `), { after });
	await d.waitLog(/reload failed: generation 2 stays in service\n/, { after });
	assert.equal(name(await secure(s, d)), 'renewed');
	assert.equal((await fresh.exchange(chat())).header('connection'), undefined);
});

scenario('reloads with TLS leave the master as it was', async (s) => {
	const d = await s.daemon(config({ log: {} }, { client_ca_file: certificates().caFile }));
	const rounds = async (n) => {
		for (let i = 0; i < n; i++)
			await reload(d);
		await until(() => d.children().length === 1, 'the old workers have gone');
	};
	await rounds(20);
	const files = descriptorCount(d.pid), kib = residentKib(d.pid);
	await rounds(60);
	await until(() => descriptorCount(d.pid) <= files, 'no descriptor is left');
	if (!underValgrind && !process.env.API_ROUTER_BUILD?.includes('san'))
		assert.ok(residentKib(d.pid) - kib < 300, `${residentKib(d.pid) - kib} KiB more after 60 reloads`);
}, { ms: 120000 });

scenario('-t says what is wrong with the files, and warns', async (s) => {
	const c = certificates();
	const expired = c.issue('late', { dates: ['20200101000000Z', '20210101000000Z'] });
	const d = s.command(config({}, {}));
	const place = (name) => `${d.configFile}:${d.config.split('\n').findIndex((l) => l.includes(name)) + 1}: listen\\[0\\]\\.tls\\.${name}`;
	const run = async (more) => {
		d.writeConfig({ listen: [{ ...plain, tls: more }], providers: { echo } });
		return d.run('-t');
	};
	const late = await run(of(expired));
	assert.equal(late.code, 0);
	assert.match(late.stderr, new RegExp(`${place('certificate_file')} has expired: ${expired.certFile}: its last moment was Jan  1 00:00:00 2021 GMT; clients will refuse it\n`));
	chmodSync(expired.keyFile, 0o644);
	assert.match((await run(of(expired))).stderr, new RegExp(`${place('key_file')} can be read by everybody: ${expired.keyFile}: chmod 600 is better\n`));
	const bad = await run({ certificate_file: '/nowhere/c.pem', key_file: c.server.keyFile, client_ca_file: c.server.keyFile });
	assert.equal(bad.code, 78);
	assert.match(bad.stderr, new RegExp(`${place('certificate_file')} cannot be read: /nowhere/c.pem: No such file or directory\n`));
	assert.match(bad.stderr, new RegExp(`${place('client_ca_file')} holds no CA certificate: ${c.server.keyFile}: `));
	d.writeConfig(config({}, { client_ca_file: c.caFile }));
	const printed = await d.run('-T');
	assert.match(printed.stdout, new RegExp(`tls: \\{ certificate_file = "${c.server.certFile}"; key_file = "${c.server.keyFile}"; client_ca_file = "${c.caFile}"; \\};`));
	d.writeConfig(printed.stdout);
	assert.equal((await d.run('-T')).stdout, printed.stdout);
});

// ---- handshakes that do not end

// The first bytes of a client, as OpenSSL says them.
async function hello() {
	const server = net.createServer().listen(0, '127.0.0.1');
	await new Promise((done) => server.once('listening', done));
	const came = new Promise((done) => server.once('connection', (socket) => socket.once('data', (data) => done([socket, data]))));
	const client = tls.connect({ port: server.address().port, host: '127.0.0.1', servername: 'localhost' });
	client.on('error', () => {});
	const [socket, data] = await came;
	socket.destroy();
	client.destroy();
	server.close();
	return data;
}

scenario('a handshake that stalls is closed within timeouts.head, wherever it stalls', async (s) => {
	const d = await s.daemon(config({ timeouts: { head: 0.4 } }));
	const whole = await hello();
	const began = Date.now();
	const stalled = [];
	for (const n of [0, 1, 3, 5, 40, whole.length]) {
		const conn = await s.connect(d.listeners[0].port);
		await conn.send(whole.subarray(0, n));
		stalled.push(conn);
	}
	assert.equal((await (await secure(s, d)).exchange(chat())).status, 200);
	for (const conn of stalled)
		await conn.closed();
	assert.ok(Date.now() - began >= 380);
	await until(async () => await closes(s, d, 'timeout') === stalled.length, 'each is counted as timeout');
	// one clock for both: after the handshake the head has what is left of it
	const slow = await secure(s, d);
	await slow.send('GET / HTTP/1.1\r\n');
	assert.equal((await slow.readReply()).status, 408);
});

scenario('who owes a handshake or a head for the longest gives way where connections run out', async (s) => {
	const d = await s.daemon(config({ limits: { connections: 5 } }));
	const whole = await hello();
	const half = await s.connect(plainPort(d)); // the oldest, with an unfinished head
	await half.send('GET /health HTTP/1.1\r\n');
	const idle = await secure(s, d);
	await idle.exchange(chat());
	const silent = await s.connect(d.listeners[0].port), spoken = await s.connect(d.listeners[0].port), third = await s.connect(d.listeners[0].port);
	await spoken.send(whole);
	assert.ok(await spoken.read(1)); // it has been heard
	const one = await secure(s, d);
	assert.equal((await one.exchange(chat())).status, 200);
	await half.closed();
	const others = [await secure(s, d), await secure(s, d), await secure(s, d)];
	for (const client of [silent, spoken, third])
		await client.closed();
	for (const client of [...others, one, idle])
		assert.equal((await client.exchange(chat())).status, 200, 'who owed nothing was spared');
});

scenario('with all places taken by requests, a TLS client is closed and a plain one told', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(config({ limits: { connections: 2 }, providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	const busy = [await secure(s, d), await secure(s, d)];
	for (const client of busy)
		await client.request({ path: CHAT, json: { model: 'm', messages: [] } });
	await until(() => provider.connections.length === 2, 'both requests are with the provider');
	await assert.rejects(secure(s, d));
	assert.equal((await s.request(plainPort(d), { path: '/health' })).status, 503);
});

scenario('a crowd of handshakes is served, and others between them', async (s) => {
	const d = await s.daemon(config());
	const other = await s.connect(plainPort(d));
	const crowd = Array.from({ length: 150 }, () => s.connect(d.listeners[0].port, { tls: trusting() }));
	for (let i = 0; i < 20; i++)
		assert.equal((await other.exchange(chat())).status, 200);
	for (const conn of await Promise.all(crowd))
		assert.equal((await conn.exchange(chat())).status, 200);
});

// ---- how connections end

// TLS whose close_notify is all that the other side sees: the TCP connection stays open.
async function closable(s, port, version) {
	const raw = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
	s.keep({ stop: () => raw.destroy() });
	raw.on('error', () => {});
	const between = new Duplex({
		read: () => raw.resume(),
		write(data, _, done) {
			raw.write(data);
			done();
		},
		final: (done) => done(),
	});
	raw.on('data', (data) => between.push(data) || raw.pause());
	raw.on('end', () => between.push(null));
	const socket = tls.connect({ socket: between, servername: 'localhost', ...(version ? only(version) : trusting()) });
	socket.on('error', () => {});
	await new Promise((done) => socket.once('secureConnect', done));
	return { socket, raw };
}

const post = (body) => `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const waiting = post('{"model":"m","messages":[]}'), streaming = post('{"model":"m","messages":[],"stream":true}');

scenario('a client that goes away while it waits is noticed, however it goes', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	const ways = [
		({ socket }) => socket.end(), // close_notify alone
		({ raw }) => raw.end(), // the end of TCP without it
		({ raw }) => raw.resetAndDestroy(),
	];
	for (const version of versions) {
		for (const go of ways) {
			const client = await closable(s, d.listeners[0].port);
			client.socket.write(waiting);
			const { conn, request } = await provider.request();
			assert.equal(request.json.model, 'm');
			go(client);
			await conn.closed();
		}
	}
	await until(() => d.access.filter((l) => l.end === 'client_gone').length === 6, 'all six were noticed');
	for (const go of ways) { // and in a stream
		const client = await closable(s, d.listeners[0].port);
		client.socket.on('data', () => {});
		client.socket.write(streaming);
		const { conn } = await provider.request();
		await conn.send(Buffer.concat([streamHead(), chunk(sse('{"n":1}'))]));
		await until(() => client.socket.bytesRead > 0, 'the first event');
		go(client);
		await conn.closed();
	}
	await until(() => d.access.filter((l) => l.end === 'client_gone').length === 9, 'all nine were noticed');
});

scenario('a close_notify that comes together with the request is noticed too', async (s) => {
	const provider = await s.peer(); // it never answers
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	for (const version of versions) {
		const { socket, raw } = await closable(s, d.listeners[0].port, version);
		raw.cork();
		socket.write(waiting);
		socket.end();
		await new Promise((done) => socket.once('finish', done));
		raw.uncork();
	}
	await until(() => d.access.filter((l) => l.end === 'client_gone').length === versions.length, 'both were noticed');
	assert.equal(provider.connections.length, 0, 'before anybody was asked');
});

scenario('a request behind the one that runs is kept and answered', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] }, echo } }));
	const client = await secure(s, d);
	await client.send(waiting);
	const { conn } = await provider.request();
	await client.send(`GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n${'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3000)}`);
	await conn.send('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}');
	assert.equal((await client.readReply()).text, '{}');
	assert.equal((await client.readReply()).json.object, 'list');
	for (let i = 0; i < 3000; i++)
		assert.equal((await client.readReply()).status, 200);
	// the end behind bytes that nobody has read is seen by the end of TCP
	const leaving = await secure(s, d);
	await leaving.send(waiting);
	await conn.readRequest(); // on the connection that there is
	await leaving.send('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
	leaving.destroy();
	await conn.closed();
});

scenario('our end says close_notify behind the whole reply', async (s) => {
	const d = await s.daemon(config());
	const client = await secure(s, d);
	await client.request({ ...chat('x'.repeat(300000)), headers: { Connection: 'close' } });
	const reply = await client.readReply();
	assert.equal(reply.json.choices[0].message.content.length, 300000);
	assert.equal(await client.closed(), 'end');
	const refused = await secure(s, d);
	await refused.send('GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n' + 'x'.repeat(500000));
	assert.equal((await refused.readReply()).status, 400, 'a refusal comes through, whatever is still sent');
	assert.equal(await refused.closed(), 'end');
	const old = await closable(s, d.listeners[0].port); // HTTP/1.0 may end its side and still has its reply
	let text = '';
	old.socket.on('data', (data) => (text += data));
	old.socket.write('GET /health HTTP/1.0\r\n\r\n');
	old.socket.end();
	await until(() => text.includes('"status":"ok"'), 'the reply');
});

scenario('a cut reply is visibly cut', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	const client = await secure(s, d);
	await client.send(waiting);
	const { conn } = await provider.request();
	await conn.send('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"a"');
	conn.reset();
	const reply = await client.readReply();
	assert.equal(reply.cut, true);
});

// ---- much

scenario('large bodies both ways', async (s) => {
	const provider = await s.peer();
	const size = 6 << 20;
	const body = `{"model":"m","messages":[],"x":"${'0123456789abcdef'.repeat(size / 16)}"}`;
	const answer = `{"y":"${'fedcba9876543210'.repeat(size / 16)}"}`;
	const hash = (data) => createHash('sha256').update(data).digest('hex');
	provider.serve((request) => {
		assert.equal(hash(request.body), hash(body));
		return { headers: { 'Content-Type': 'application/json' }, body: answer };
	});
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	for (const version of versions) {
		const client = await s.connect(d.listeners[0].port, { tls: only(version) });
		for (const chunked of [undefined, 70001]) {
			const reply = await client.exchange({ path: CHAT, body, chunked, headers: { 'Content-Type': 'application/json' } });
			assert.equal(reply.status, 200);
			assert.equal(hash(reply.body), hash(answer));
		}
	}
});

scenario('a slow reader holds the provider back, and has all of it in the end', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon(config({ providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } }));
	const client = await secure(s, d);
	await client.send(streaming);
	const { conn } = await provider.request();
	await conn.send(Buffer.concat([streamHead(), chunk(sse('{"n":0}'))]));
	const reply = await client.readHead();
	client.pause();
	const event = chunk(sse(`{"text":"${'x'.repeat(60000)}"}`));
	const total = 1000; // 60 MB
	let written = 0;
	const all = (async () => {
		for (; written < total; written++)
			await conn.send(event);
		await conn.send(Buffer.concat([chunk(sse('[DONE]')), LAST_CHUNK]));
	})();
	let last = -1;
	await until(async () => {
		const same = written === last;
		last = written;
		await new Promise((done) => setTimeout(done, 200));
		return same && written > 0;
	}, 'the provider is held back');
	assert.ok(written < total / 2, `${written} of ${total} events were taken`);
	client.resume();
	await reply.finish(60000);
	await all;
	assert.equal(reply.cut, false);
	assert.equal(reply.events.length, total + 2);
});

// ---- several listeners

scenario('IPv4, IPv6 and *, TLS and plain, at the same time', async (s) => {
	const c = certificates();
	const kinds = [{ address: '127.0.0.1' }, { address: '127.0.0.1', tls: of(c.server) }, { address: '*' }, { address: '*', tls: of(c.server) },
		...(hasIpv6 ? [{ address: '::1' }, { address: '::1', tls: of(c.server) }] : [])];
	const d = await s.daemon({ listen: kinds.map((k) => ({ ...k, port: 0 })), open: true, providers: { echo } });
	const wanted = kinds.flatMap((k) => (k.address === '*' ? [{ ...k, address: '[::]' }, { ...k, address: '0.0.0.0' }] : [k]))
		.filter((k) => hasIpv6 || k.address !== '[::]');
	assert.equal(d.listeners.length, wanted.length);
	for (const [i, { port, address }] of d.listeners.entries()) {
		const host = address === '[::]' || address === '[::1]' ? '::1' : '127.0.0.1';
		const conn = await s.connect({ host, port }, wanted[i].tls ? { tls: trusting() } : {});
		assert.equal((await conn.exchange(chat())).status, 200, `${address}:${port}`);
		assert.equal((await conn.exchange({ path: '/metrics' })).status, /^(127|\[::1)/.test(address) ? 200 : 404);
	}
});
