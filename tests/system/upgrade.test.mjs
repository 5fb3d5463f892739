// upgrade: USR2 puts another master beside the one that runs, under load, and either of them can be the one that stays; WINCH; what
// goes over from one to the other and what does not; and upgrades that fail.

import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, existsSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { binary } from '../lib/daemon.mjs';
import { limit, scenario, underValgrind, until } from '../lib/scenario.mjs';
import { Load, streamed } from '../lib/load.mjs';
import { alive, descriptorCount, descriptors, isListening, workers } from '../lib/processes.mjs';

const echo = { dialect: 'echo', models: ['echo'], echo: { interval: 0.005 } };
const slow = { dialect: 'echo', models: ['slow'], echo: { interval: 0.05 } };
const config = (more = {}) => ({ workers: 2, providers: { echo, slow }, ...more });
const words = (n) => Array.from({ length: n }, (_, i) => `word${i}`).join(' ');
const chat = (model = 'echo', content = 'hello', more = {}) => ({ path: '/v1/chat/completions', json: { model, messages: [{ role: 'user', content }], ...more } });
const read = (d, name) => (existsSync(join(d.dir, name)) ? readFileSync(join(d.dir, name), 'utf8') : undefined);
const skip = underValgrind && 'valgrind does not follow the new master';

// A binary of its own, which a test can replace. `setsid`: without a terminal, whoever runs the tests has one.
function program(s) {
	const path = join(s.temporaryDirectory(), 'api-router');
	chmodSync(dirname(path), 0o755);
	copyFileSync(binary, path);
	return path;
}
const start = (s, more, options) => s.daemon(config(more), { under: ['setsid'], ...options });

// USR2; the pid of the new master, which serves.
async function upgrade(d) {
	const after = d.log.length;
	d.signal('SIGUSR2');
	const [, pid] = await d.waitLog(/the new master \(pid (\d+)\) serves as well/, { after, ms: 20000 });
	d.processes();
	return Number(pid);
}
// QUIT to the old master, which is followed by the new one.
async function finish(d, pid, { first = true } = {}) {
	const old = d.pid;
	process.kill(old, 'SIGQUIT');
	await until(() => (first ? d.exit : !alive(old)), 'the old master has ended', 20000);
	if (first)
		assert.deepEqual(d.exit, { code: 0, signal: null });
	follow(d, pid);
}
function follow(d, pid) {
	d.pid = pid;
	d.processes();
}
async function end(d) {
	d.processes();
	d.signal('SIGTERM');
	await until(() => !alive(d.pid), 'the last master has ended');
	assert.deepEqual(d.survivors(), []);
}
async function samples(s, d) {
	const conn = await s.connect(d);
	const { text } = await conn.exchange({ path: '/metrics' });
	conn.destroy();
	return (name, ...labels) => text.split('\n').filter((line) => line.match(new RegExp(`^api_router_${name}[ {]`)) && labels.every((l) => line.includes(l)))
		.reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
}
const health = async (s, d) => {
	const reply = await s.request(d, { path: '/health' });
	return [reply.status, reply.json.status];
};
// A stream of about n * 50 ms; call it to wait for its end.
async function stream(s, d, n) {
	const conn = await s.connect(d);
	await conn.request({ ...chat('slow', words(n), { stream: true }), headers: { Connection: 'close' } });
	const reply = await conn.readHead();
	await reply.event();
	return async () => {
		await reply.finish();
		conn.destroy();
		assert.equal(streamed(reply), words(n));
	};
}

scenario('an upgrade under load loses nothing, and counters go on', async (s) => {
	const d = await start(s);
	const before = await samples(s, d);
	const load = s.keep(new Load(d, { clients: 8 }));
	await load.more(40);
	const streams = await Promise.all([stream(s, d, 40), stream(s, d, 40)]);
	const pid = await upgrade(d);
	await load.more(40);
	const both = await samples(s, d);
	assert.equal(both('workers', 'ready'), 4);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	assert.equal(read(d, 'pid'), `${pid}\n`);
	assert.equal(read(d, 'pid.oldbin'), `${d.pid}\n`);
	const quit = finish(d, pid);
	for (let i = 0; i < 10; i++)
		assert.deepEqual(await health(s, d), [200, 'ok'], 'that one of two masters leaves is not draining');
	await quit;
	await Promise.all(streams.map((whole) => whole()));
	await load.more(40);
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	assert.equal(read(d, 'pid.oldbin'), undefined);
	assert.equal((await d.run('-s', 'reopen')).code, 0, '-s finds the new one');
	await d.waitLog(new RegExp(`master\\[${pid}\\]: log files reopened`));
	const after = await until(async () => {
		const now = await samples(s, d);
		return now('requests_total', '/v1/chat/completions', 'status="200"') === load.done + 2 && now;
	}, `${load.done + 2} requests are counted`);
	assert.equal(after('start_time_seconds'), before('start_time_seconds'));
	assert.equal(after('generation'), 2);
	assert.equal(after('workers', 'ready'), 2);
	assert.equal(after('upgrades_total', 'ok'), 1);
	assert.equal(after('worker_exits_total', 'ok'), 2);
	await until(async () => (await samples(s, d))('connections', 'client') === 1, 'no connection is left but that which asks');
	assert.doesNotMatch(d.log, /was killed|status [1-9]|error master/);
	await end(d);
	assert.equal(read(d, 'pid'), undefined);
}, { skip });

scenario('a rate limit goes on over an upgrade, with the size of the table that there is', async (s) => {
	const limits = (rate_buckets) => ({ limits: { rate_buckets }, clients: { a: { key: 'env:KEY_OF_A', rate_limit: { requests_per_minute: 1, burst: 3 } } } });
	const d = await start(s, limits(64), { env: { KEY_OF_A: 'the-key-of-client-a-is-this-1' } });
	const ask = async () => (await s.request(d, { ...chat(), headers: { Authorization: 'Bearer the-key-of-client-a-is-this-1', Connection: 'close' } })).status;
	assert.deepEqual([await ask(), await ask()], [200, 200]);
	d.writeConfig(config(limits(4096)));
	await finish(d, await upgrade(d));
	assert.deepEqual([await ask(), await ask()], [200, 429]);
	assert.match(d.log, /warn master\[\d+\]: limits\.rate_buckets: the table keeps its 64 places/);
	assert.equal((await samples(s, d))('rate_limited_total'), 1);
	await end(d);
}, { skip });

scenario('QUIT to the new master goes back to the old one', async (s) => {
	const d = await start(s);
	const load = s.keep(new Load(d, { clients: 6 }));
	await load.more(20);
	const pid = await upgrade(d);
	await load.more(20);
	const open = await stream(s, d, 30);
	process.kill(pid, 'SIGQUIT');
	for (let i = 0; i < 5; i++)
		assert.deepEqual(await health(s, d), [200, 'ok']);
	await d.waitLog(new RegExp(`info master\\[${d.pid}\\]: the new master \\(pid ${pid}\\) exited with status 0: this one goes on`), { ms: 20000 });
	await open();
	await load.more(20);
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	assert.equal(read(d, 'pid.oldbin'), undefined);
	assert.equal((await d.run('-s', 'reload')).code, 0);
	await d.waitLog(/ready: 2 workers, generation 3\n/);
	const now = await samples(s, d);
	assert.equal(now('requests_total', '/v1/chat/completions', 'status="200"'), load.done + 1);
	assert.equal(now('generation'), 3);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	await finish(d, await upgrade(d)); // and it can be tried again
	await end(d);
}, { skip });

scenario('ten upgrades in a row under load lose no request', async (s) => {
	const d = await start(s);
	const load = s.keep(new Load(d, { clients: 6 }));
	const open = await stream(s, d, 100);
	let fds;
	for (let i = 1; i <= 10; i++) {
		await finish(d, await upgrade(d), { first: i === 1 });
		await load.more(5);
		await until(() => !existsSync(join(d.dir, 'pid.oldbin')), 'the old pid file is gone');
		const now = descriptorCount(d.pid);
		fds ??= now;
		assert.equal(now, fds);
	}
	await open();
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	const now = await samples(s, d);
	assert.equal(now('requests_total', '/v1/chat/completions', 'status="200"'), load.done + 1);
	assert.equal(now('upgrades_total', 'ok'), 10);
	assert.equal(now('generation'), 11);
	const command = readFileSync(`/proc/${d.pid}/cmdline`, 'latin1').split('\0');
	assert.deepEqual(command.slice(1, -1), ['-c', d.configFile]);
	await end(d);
}, { skip, ms: 120000 });
