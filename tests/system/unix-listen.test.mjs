// unix-listen: listeners that are unix sockets: whose their files are, what becomes of them at the start, at reloads and at the end,
// and what is known of who comes through them.

import assert from 'node:assert/strict';
import { existsSync, lstatSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { certificates, streamHead } from '../lib/peer.mjs';
import { workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, sse } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const echo = { dialect: 'echo', models: ['echo'] };
const chat = { path: CHAT, json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const plain = { address: '127.0.0.1', port: 0 };
const at = (path, more = {}) => ({ address: `unix:${path}`, ...more });
const inode = (path) => lstatSync(path).ino;

async function reload(d) {
	const before = [...d.log.matchAll(/ready: \d+ workers, generation/g)].length;
	d.signal('SIGHUP');
	await until(() => [...d.log.matchAll(/ready: \d+ workers, generation/g)].length > before, 'the new generation is ready');
}

scenario('requests through a unix socket', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const d = await s.daemon({ listen: [at(path), plain], providers: { echo }, workers: 2 });
	assert.match(d.log, new RegExp(`info master\\[${d.pid}\\]: listening on unix:${path}\n`));
	assert.equal((lstatSync(path).mode & 0o777).toString(8), '666');
	const client = await s.connect({ path });
	for (let i = 0; i < 3; i++)
		assert.equal((await client.exchange(chat)).json.choices[0].message.content, 'hello');
	const streamed = await client.exchange({ ...chat, json: { ...chat.json, stream: true } });
	assert.equal(streamed.events.at(-1).data, '[DONE]');
	assert.equal((await client.exchange({ path: '/metrics' })).status, 200, 'the administrator\'s by default');
	assert.equal((await client.exchange({ path: '/health' })).json.workers, 2);
	await until(() => d.access.length === 6, 'six lines');
	assert.deepEqual([...new Set(d.access.map((l) => l.client_ip))], ['unix:']);
	assert.equal((await s.request(d, chat)).status, 200);
	d.signal('SIGTERM');
	assert.equal((await d.waitExit()).code, 0);
	assert.equal(existsSync(path), false);
});

scenario('admin can be taken away, and all share one limit', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const d = await s.daemon({ listen: [at(path, { admin: false }), plain], providers: { echo }, rate_limit: { requests_per_minute: 1, burst: 2 } });
	assert.equal((await s.request({ path }, { path: '/metrics' })).status, 404);
	assert.deepEqual([(await s.request({ path }, chat)).status, (await s.request({ path }, chat)).status, (await s.request({ path }, chat)).status], [200, 200, 429]);
	assert.equal((await s.request(d, chat)).status, 200, 'another limit');
});

scenario('a client that goes away is noticed', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const provider = await s.peer();
	const d = await s.daemon({ listen: [at(path)], providers: { p: { base_url: `${provider.url}/v1`, models: ['m'] } } });
	for (const go of [(c) => c.end(), (c) => c.destroy()]) {
		const client = await s.connect({ path });
		await client.request({ path: CHAT, json: { model: 'm', stream: true } });
		const { conn } = await provider.request();
		await conn.send(Buffer.concat([streamHead(), chunk(sse('{"n":1}'))]));
		assert.equal((await (await client.readHead()).event()).data, '{"n":1}');
		go(client);
		await conn.closed();
	}
	await until(() => d.access.filter((l) => l.end === 'client_gone').length === 2, 'both were noticed');
});

scenario('TLS on a unix socket', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const { server, caFile } = certificates();
	await s.daemon({ listen: [at(path, { tls: { certificate_file: server.certFile, key_file: server.keyFile } })], providers: { echo } });
	const client = await s.connect({ path }, { tls: { ca: readFileSync(caFile) } });
	assert.equal((await client.exchange(chat)).status, 200);
	assert.equal((await s.request({ path }, { path: '/health' })).status, 400, 'plain HTTP there');
});

scenario('what a crash left behind is replaced', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const config = { listen: [at(path)], providers: { echo } };
	const first = s.command(config);
	await first.start();
	const left = inode(path);
	const children = workers(first);
	first.signal('SIGKILL');
	await first.waitExit();
	await until(() => children.every((pid) => !existsSync(`/proc/${pid}`)), 'its workers have gone');
	assert.equal(inode(path), left);
	const second = await s.daemon(config);
	assert.match(second.log, new RegExp(`listening on unix:${path}\n`));
	assert.equal((await s.request({ path }, chat)).status, 200);
});

scenario('a socket in use and a file that is none are errors, and are left alone', async (s) => {
	const dir = s.temporaryDirectory();
	const path = join(dir, 'socket'), file = join(dir, 'file');
	const d = await s.daemon({ listen: [at(path)], providers: { echo } });
	const had = inode(path);
	writeFileSync(file, 'precious');
	const other = s.command({ listen: [at(path), at(file)], providers: { echo } });
	const run = await other.run();
	assert.equal(run.code, 1);
	assert.match(run.stderr, new RegExp(`${other.configFile}:\\d+: listen\\[0\\]: cannot listen on unix:${path}: Address already in use; another process listens there: stop it, or take another path\n`));
	assert.match(run.stderr, new RegExp(`${other.configFile}:\\d+: listen\\[1\\]: cannot listen on unix:${file}: a file that is no socket is in its place\n`));
	assert.equal(inode(path), had);
	assert.equal(readFileSync(file, 'utf8'), 'precious');
	assert.equal((await s.request({ path }, chat)).status, 200);
	const after = d.log.length; // and for a reload
	d.writeConfig({ listen: [at(path), at(file)], providers: { echo } });
	d.signal('SIGHUP');
	await d.waitLog(/cannot listen on unix:\S+\/file: a file that is no socket is in its place\n[^]*reload failed: generation 1 stays in service\n/, { after });
	assert.equal(inode(path), had);
	assert.equal(readFileSync(file, 'utf8'), 'precious');
});

scenario('reloads keep, add and drop them', async (s) => {
	const dir = s.temporaryDirectory();
	const [a, b] = [join(dir, 'a'), join(dir, 'b')];
	const d = await s.daemon({ listen: [at(a)], providers: { echo } });
	const kept = inode(a);
	d.writeConfig({ listen: [at(b), at(a)], providers: { echo } });
	await reload(d);
	assert.equal(inode(a), kept);
	assert.equal([...d.log.matchAll(/listening on unix:/g)].length, 2);
	for (const path of [a, b])
		assert.equal((await s.request({ path }, chat)).status, 200);
	const idle = await s.connect({ path: a });
	assert.equal((await idle.exchange(chat)).status, 200);
	d.writeConfig({ listen: [at(b)], providers: { echo } });
	await reload(d);
	await until(() => !existsSync(a), 'the file of what was dropped has gone');
	assert.equal((await idle.exchange(chat)).status, 200, 'who is connected is still served');
	assert.equal((await s.request({ path: b }, chat)).status, 200);
	unlinkSync(b); // somebody tidies up: the next reload makes it again
	await reload(d);
	assert.equal((await s.request({ path: b }, chat)).status, 200);
	unlinkSync(b); // and another takes the place
	const other = net.createServer((c) => c.end()).listen(b);
	s.keep({ stop: () => other.close() });
	await new Promise((done) => other.once('listening', done));
	d.signal('SIGTERM');
	await d.waitExit();
	assert.equal(existsSync(b), true, 'another\'s is not removed');
});

scenario('a start that fails later leaves no file behind', async (s) => {
	const dir = s.temporaryDirectory();
	const path = join(dir, 'socket');
	const d = s.command({ listen: [at(path)], log: { file: '/proc/nothing' }, providers: { echo } });
	assert.notEqual((await d.run()).code, 0);
	assert.equal(existsSync(path), false);
});

scenario('what a unix socket cannot have is an error', async (s) => {
	const dir = s.temporaryDirectory();
	const path = join(dir, 'socket');
	const d = s.command({ listen: [at(path), plain], providers: { echo } });
	const line = (what) => d.config.split('\n').findIndex((l) => l.includes(what)) + 1;
	const p = await d.run('-t', '-p', '8123');
	assert.equal(p.code, 78);
	assert.match(p.stderr, new RegExp(`${d.configFile}:\\d+: listen\\[0\\] is a unix socket and has no port that -p 8123 could set: put a listener with an address before it\n`));
	const printed = await d.run('-T');
	assert.match(printed.stdout, new RegExp(`\\{ address = "unix:${path}"; admin = true; \\}`));
	assert.equal(existsSync(path), false, '-t binds nothing');
	d.writeConfig({ listen: [at(path, { port: 80 })], providers: { echo } });
	assert.match((await d.run('-t')).stderr, new RegExp(`:${line('port')}: listen\\[0\\]\\.port means nothing to a unix socket: leave it out\n`));
});
