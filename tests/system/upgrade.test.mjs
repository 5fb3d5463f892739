// upgrade: USR2 puts another master beside the one that runs, under load, and either of them can be the one that stays; WINCH; what
// goes over from one to the other and what does not; and upgrades that fail.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { binary } from '../lib/daemon.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { Load, streamed } from '../lib/load.mjs';
import { certificates } from '../lib/peer.mjs';
import { alive, descriptorCount, descriptors, isListening, residentKib, workers } from '../lib/processes.mjs';
import { freePort } from '../lib/port.mjs';

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
	const pid = await d.upgrade();
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
	await finish(d, await d.upgrade());
	assert.deepEqual([await ask(), await ask()], [200, 429]);
	assert.match(d.log, /warn master\[\d+\]: limits\.rate_buckets: the table keeps its 64 places/);
	assert.equal((await samples(s, d))('rate_limited_total'), 1);
	await end(d);
}, { skip });

scenario('QUIT to the new master goes back to the old one', async (s) => {
	const d = await start(s);
	const files = descriptorCount(d.pid);
	const load = s.keep(new Load(d, { clients: 6 }));
	await load.more(20);
	const pid = await d.upgrade();
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
	assert.equal(descriptorCount(d.pid), files);
	assert.equal((await d.run('-s', 'reload')).code, 0);
	await d.waitLog(/ready: 2 workers, generation 3\n/);
	const now = await samples(s, d);
	assert.equal(now('requests_total', '/v1/chat/completions', 'status="200"'), load.done + 1);
	assert.equal(now('generation'), 3);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	await finish(d, await d.upgrade()); // and it can be tried again
	await end(d);
}, { skip });

scenario('a master that still drains does not make /health say so, two upgrades later', async (s) => {
	const d = await start(s);
	const open = await stream(s, d, 100);
	const old = d.pid;
	const second = await d.upgrade();
	process.kill(old, 'SIGQUIT');
	await d.waitLog(/QUIT: finishing open requests/);
	follow(d, second);
	const third = await d.upgrade(); // while the first one drains
	assert.equal(read(d, 'pid.oldbin'), `${second}\n`);
	process.kill(second, 'SIGQUIT');
	await until(() => !alive(second), 'the second one has ended', 20000);
	follow(d, third);
	assert.deepEqual([d.exit, await health(s, d)], [undefined, [200, 'ok']]);
	await open();
	await until(() => d.exit, 'the first one has ended', 20000);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	assert.equal(read(d, 'pid'), `${third}\n`);
	assert.equal(read(d, 'pid.oldbin'), undefined);
	// The last one that serves does.
	d.signal('SIGQUIT');
	await until(async () => (await health(s, d).catch(() => []))[1] === 'draining', 'it is said to drain');
	await until(() => !alive(third), 'it has ended', 20000);
}, { skip });

scenario('ten upgrades in a row under load lose no request', async (s) => {
	const d = await start(s);
	const load = s.keep(new Load(d, { clients: 6 }));
	const open = await stream(s, d, 100);
	let fds;
	for (let i = 1; i <= 10; i++) {
		await finish(d, await d.upgrade(), { first: i === 1 });
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

scenario('WINCH to the old master lets the new one serve alone; HUP to the old one and QUIT to the new one go back', async (s) => {
	const d = await start(s);
	const load = s.keep(new Load(d, { clients: 6 }));
	await load.more(20);
	const pid = await d.upgrade();
	d.signal('SIGWINCH');
	await d.waitLog(/WINCH: the workers finish open requests and leave/);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	await until(() => workers(d).length === 2 && d.children().filter((p) => p.pid === pid).length === 1, 'only the new workers are left', 20000);
	await load.more(20);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 3\n/);
	process.kill(pid, 'SIGQUIT');
	await d.waitLog(new RegExp(`the new master \\(pid ${pid}\\) exited with status 0: this one goes on`), { ms: 20000 });
	assert.deepEqual(await health(s, d), [200, 'ok']);
	await load.more(20);
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	assert.equal((await samples(s, d))('generation'), 3);
}, { skip });

for (const [how, signal] of [['told to leave', 'SIGQUIT'], ['killed', 'SIGKILL']])
	scenario(`a master that rests serves again when the new one is ${how}`, async (s) => {
		const d = await start(s);
		const pid = await d.upgrade();
		d.signal('SIGWINCH');
		await until(() => d.children().length === 3, 'the old workers are gone, the new master and its two are left', 20000);
		const idle = await s.connect(d);
		await idle.exchange(chat());
		process.kill(pid, signal);
		await d.waitLog(/generation 1 serves again\n/, { ms: 20000 });
		assert.equal((await s.request(d, chat())).status, 200);
		await until(async () => (await health(s, d))[0] === 200, 'it is said to serve');
		idle.destroy();
		// What the killed one left in the scoreboard is given back when its workers have gone.
		await until(async () => {
			const now = await samples(s, d);
			return now('workers') === 2 && now('connections', 'client') === 1;
		}, 'the gauges tell of this master alone', 40000);
		await d.waitLog(/the new master .*: this one goes on\n/);
		assert.equal(read(d, 'pid'), `${d.pid}\n`);
		assert.equal(read(d, 'pid.oldbin'), undefined);
	}, { skip });

for (const [how, signal] of [['told to leave', 'SIGQUIT'], ['killed', 'SIGKILL']])
	scenario(`a master that rests serves again when the new one is ${how}, though the file is for the new one`, async (s) => {
		const d = await start(s);
		const pid = await d.upgrade();
		d.signal('SIGWINCH');
		await until(() => d.children().length === 3, 'the old workers are gone', 20000);
		d.writeConfig(d.config + 'knows_only_the_new = 1;\n');
		process.kill(pid, signal);
		await d.waitLog(/the new master .*: this one goes on\n/, { ms: 20000 });
		await until(() => workers(d).length === 2, 'its workers are back');
		assert.equal((await s.request(d, chat())).status, 200);
	}, { skip });

scenario('WINCH drains the workers and keeps the master, until HUP', async (s) => {
	const d = await start(s);
	const conn = await s.connect(d);
	await conn.exchange(chat());
	const open = await stream(s, d, 60);
	d.signal('SIGWINCH');
	await until(async () => (await health(s, d).catch(() => []))[1] === 'draining', 'it is said to drain');
	await until(async () => (await conn.exchange(chat())).header('connection') === 'close', 'a kept connection is told to close');
	await d.waitLog(/WINCH/);
	d.signal('SIGTTIN');
	await d.waitLog(/warn master\[\d+\]: TTIN: no workers run: HUP starts them\n/);
	await open();
	await until(() => workers(d).length === 0, 'the workers have gone', 20000);
	assert.ok(isListening(d.port));
	// A connection waits for the workers.
	const waiting = await s.connect(d);
	await waiting.request(chat());
	const good = d.config;
	d.writeConfig(`${good}nonsense = 1;\n`);
	d.signal('SIGHUP');
	await d.waitLog(/reload failed: no workers run \(WINCH\)\n/);
	d.writeConfig(good);
	d.signal('SIGHUP');
	assert.equal((await waiting.readReply()).status, 200);
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	assert.deepEqual(await health(s, d), [200, 'ok']);
	// It rests, and an upgrade leads on from there.
	d.signal('SIGWINCH');
	await until(() => workers(d).length === 0, 'the workers have gone', 20000);
	await finish(d, await d.upgrade());
	assert.deepEqual(await health(s, d), [200, 'ok']);
	await end(d);
}, { skip });

scenario('QUIT while it rests ends the master', async (s) => {
	const d = await start(s);
	d.signal('SIGWINCH');
	await until(() => workers(d).length === 0, 'the workers have gone', 20000);
	d.signal('SIGQUIT');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	assert.equal(read(d, 'pid'), undefined);
}, { skip });

// Fail an upgrade; what was logged.
async function fails(s, d) {
	const [after, children, generation] = [d.log.length, workers(d), (await samples(s, d))('generation')];
	d.signal('SIGUSR2');
	await d.waitLog(new RegExp(`error master\\[${d.pid}\\]: upgrade failed: .*; all is as before\n`), { after, ms: 60000 });
	assert.deepEqual(workers(d), children);
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	assert.equal(read(d, 'pid.oldbin'), undefined);
	assert.equal((await s.request(d, chat())).status, 200);
	assert.equal((await samples(s, d))('generation'), generation);
	return d.log.slice(after);
}

scenario('an upgrade that fails, twenty times, leaves all as it was', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	const replace = (text, mode = 0o755) => {
		rmSync(path, { force: true });
		if (text !== undefined)
			writeFileSync(path, text, { mode });
	};
	const config = d.config;
	assert.equal((await s.request(d, chat())).status, 200);
	const [before, resident] = [descriptorCount(d.pid), residentKib(d.pid)];
	const cases = [
		[() => replace(undefined), /cannot execute .*: No such file or directory; all is as before/],
		[() => replace('#!/bin/sh\n', 0o644), /cannot execute .*: Permission denied; all is as before/],
		[() => replace('no program\n'), /cannot execute .*: Exec format error\n[^]*the new master \(pid \d+\) exited with status 1; /],
		[() => replace('#!/bin/sh\nexit 3\n'), /the new master \(pid \d+\) exited with status 3; /],
		[() => replace('#!/bin/sh\nkill -SEGV $$\n'), /the new master \(pid \d+\) was killed by signal 11 \(.*\); /],
	];
	for (let i = 0; i < 15; i++) {
		const [damage, message] = cases[i % cases.length];
		damage();
		assert.match(await fails(s, d), message);
	}
	rmSync(path);
	copyFileSync(binary, path);
	d.writeConfig(`${config}nonsense = 1;\n`);
	for (let i = 0; i < 5; i++)
		assert.match(await fails(s, d), /error master\[\d+\]: .*api-router\.conf:\d+: .*nonsense[^]*the new master \(pid \d+\) exited with status 78; /);
	assert.equal(descriptorCount(d.pid), before);
	assert.ok(residentKib(d.pid) - resident < 512, `${resident} KiB became ${residentKib(d.pid)}`);
	assert.equal((await d.run('-s', 'reopen')).code, 0, 'it holds its pid file');
	assert.equal((await samples(s, d))('upgrades_total', 'failed'), 20);
	d.writeConfig(config);
	await finish(d, await d.upgrade());
	await end(d);
}, { skip });

scenario('QUIT to the old master waits for the new one to serve, and is dropped when that fails', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	const held = (after = 0) => d.waitLog(new RegExp(`info master\\[${d.pid}\\]: QUIT: waits until the new master serves\n`), { after });
	renameSync(path, `${path}.good`);
	writeFileSync(path, '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
	d.signal('SIGUSR2');
	const pid = await until(() => d.children().find((p) => p.command === 'sleep 1000')?.pid, 'it sleeps');
	d.signal('SIGQUIT');
	await held();
	process.kill(pid, 'SIGKILL');
	await d.waitLog(new RegExp(`upgrade failed: [^\n]*\n[^]*warn master\\[${d.pid}\\]: QUIT: dropped, since nobody would serve: send it again to end\n`));
	assert.equal((await s.request(d, chat())).status, 200);
	assert.equal((await health(s, d))[0], 200);
	// One that takes its time.
	writeFileSync(path, `#!/bin/sh\nread go <${path}.go\nexec ${path}.good "$@"\n`, { mode: 0o755 });
	execFileSync('mkfifo', [`${path}.go`]);
	const after = d.log.length;
	d.signal('SIGUSR2');
	const next = await until(() => d.children().find((p) => p.command.startsWith('/bin/sh'))?.pid, 'it waits');
	d.signal('SIGQUIT');
	await held(after);
	assert.equal((await s.request(d, chat())).status, 200);
	writeFileSync(`${path}.go`, 'go\n');
	await d.waitLog(new RegExp(`the new master \\(pid ${next}\\) serves as well[^]*info master\\[${d.pid}\\]: QUIT: finishing open requests\n`), { after });
	await until(() => d.exit, 'the old master has ended', 20000);
	assert.deepEqual(d.exit, { code: 0, signal: null });
	follow(d, next);
	assert.equal((await s.request(d, chat())).status, 200);
	await end(d);
}, { skip });

scenario('a new master that does not get ready is killed, and nothing is upgraded twice at a time', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	renameSync(path, `${path}.good`);
	writeFileSync(path, '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
	d.signal('SIGUSR2');
	const pid = await until(() => d.children().find((p) => p.command === 'sleep 1000')?.pid, 'it sleeps');
	d.signal('SIGUSR2');
	await d.waitLog(new RegExp(`warn master\\[${d.pid}\\]: USR2: refused: an upgrade is in progress: end process ${pid} first, or this one\n`));
	assert.equal((await s.request(d, chat())).status, 200);
	await d.waitLog(new RegExp(`the new master \\(pid ${pid}\\) was not ready within 35 s: killed\n[^]*upgrade failed: .*was killed by signal 9`), { ms: 60000 });
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	renameSync(`${path}.good`, path);
	const next = await d.upgrade();
	process.kill(next, 'SIGUSR2');
	await d.waitLog(new RegExp(`warn master\\[${next}\\]: USR2: refused: an upgrade is in progress: end the old master \\(pid ${d.pid}\\) first\n`));
	await finish(d, next);
	await end(d);
}, { skip, ms: 120000 });

// A program that the upgrade finds: Python that does `first`, and is then the real one.
function before(path, first) {
	renameSync(path, `${path}.good`);
	writeFileSync(path, `#!/usr/bin/python3\nimport os, signal, sys, time\n${first}\nos.execv('${path}.good', sys.argv)\n`, { mode: 0o755 });
}

scenario('QUIT to the old master is dropped when the new one leaves before it has served', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	const go = join(d.dir, 'go');
	// TERM is there when the new master begins.
	before(path, `signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM)\nwhile not os.path.exists('${go}'): time.sleep(0.02)`);
	d.signal('SIGUSR2');
	await d.waitLog(/USR2: executing/);
	d.signal('SIGQUIT');
	await d.waitLog(/QUIT: waits until the new master/);
	writeFileSync(go, '');
	await d.waitLog(/upgrade failed: [^]*QUIT: dropped/);
	assert.equal(d.exit, undefined);
	assert.equal((await s.request(d, chat())).status, 200);
}, { skip });

// The new master comes, the old one ends, and the new one serves.
async function isReplaced(s, d) {
	const [, pid] = await d.waitLog(/the new master \(pid (\d+)\) serves as well/);
	await until(() => d.exit, 'the old master has ended', 20000);
	follow(d, Number(pid));
	assert.equal((await s.request(d, chat())).status, 200);
	await end(d);
}

scenario('QUIT waits also for an upgrade that waits for a reload', async (s) => {
	const d = await start(s);
	d.signal('SIGHUP');
	await d.waitLog(/reading .* again/);
	d.signal('SIGUSR2');
	d.signal('SIGQUIT');
	await isReplaced(s, d);
}, { skip });

scenario('USR2 and QUIT that come at once are an upgrade and its end', async (s) => {
	const d = await start(s);
	d.signal('SIGSTOP');
	d.signal('SIGUSR2');
	d.signal('SIGQUIT');
	d.signal('SIGCONT');
	await isReplaced(s, d);
}, { skip });

scenario('kill -9 of the old master in the middle of an upgrade: the new one serves on', async (s) => {
	const d = await start(s);
	const pid = await d.upgrade();
	d.signal('SIGKILL');
	await d.waitLog(/the old master \(pid \d+\) has ended/);
	await until(() => !existsSync(join(d.dir, 'pid.oldbin')), 'what it left is removed');
	follow(d, pid);
	assert.equal((await s.request(d, chat())).status, 200);
	await until(async () => (await samples(s, d))('workers') === 2, 'its workers are not counted any more', 40000);
	await finish(d, await d.upgrade(), { first: false });
	await end(d);
}, { skip });

scenario('kill -9 of the old master before the new one is ready: that serves all the same', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	renameSync(path, `${path}.good`);
	const go = join(d.dir, 'go');
	writeFileSync(path, `#!/bin/sh\nwhile [ ! -e ${go} ]; do sleep 0.05; done\nexec ${path}.good "$@"\n`, { mode: 0o755 });
	d.signal('SIGUSR2');
	const pid = await until(() => d.children().find((p) => p.command.startsWith('/bin/sh'))?.pid, 'it waits');
	d.processes();
	d.signal('SIGKILL');
	await until(() => d.exit, 'the old master is dead');
	writeFileSync(go, '');
	await d.waitLog(new RegExp(`info master\\[${pid}\\]: ready: 2 workers, generation 2\n`), { ms: 20000 });
	await d.waitLog(new RegExp(`info master\\[${pid}\\]: the old master \\(pid ${d.pid}\\) has ended\n`));
	follow(d, pid);
	assert.equal((await s.request(d, chat())).status, 200);
	assert.equal(read(d, 'pid'), `${pid}\n`);
	await until(() => !existsSync(join(d.dir, 'pid.oldbin')), 'what the old one left is removed');
	await end(d);
}, { skip });

scenario('the pid file is not changed by a reload while there are two masters', async (s) => {
	const d = await start(s);
	const pid = await d.upgrade();
	d.writeConfig(config({ pid_file: join(d.dir, 'pid2') }));
	d.signal('SIGHUP');
	await d.waitLog(new RegExp(`error master\\[${d.pid}\\]: .*api-router\\.conf:\\d+: pid_file: cannot be changed while there is another master\n.*reload failed: generation 1 stays in service\n`));
	assert.equal(read(d, 'pid.oldbin'), `${d.pid}\n`);
	await finish(d, pid);
	d.signal('SIGHUP');
	await d.waitLog(new RegExp(`master\\[${pid}\\]: ready: 2 workers, generation 3\n`));
	assert.equal(read(d, 'pid2'), `${pid}\n`);
	assert.equal(read(d, 'pid'), undefined);
	await end(d);
}, { skip });

scenario('a reload that writes the pid file\'s name in another way keeps file and lock', async (s) => {
	const d = await start(s);
	d.writeConfig(config({ pid_file: `${d.dir}/./pid` }));
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	assert.deepEqual(await d.run('-s', 'reopen').then((r) => [r.code, r.output]), [0, '']);
}, { skip });

scenario('a pid file whose own name ends in .oldbin keeps it when an upgrade fails', async (s) => {
	const path = program(s);
	const file = join(dirname(path), 'pid.oldbin');
	const d = await start(s, { pid_file: file }, { binary: path });
	rmSync(path);
	d.signal('SIGUSR2');
	await d.waitLog(/upgrade failed/);
	assert.equal(readFileSync(file, 'utf8'), `${d.pid}\n`);
}, { skip });

scenario('the generation in the metrics is that of the master that is left', async (s) => {
	const d = await start(s);
	const pid = await d.upgrade();
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 3\n/);
	await finish(d, pid);
	assert.equal((await samples(s, d))('generation'), 2);
	await end(d);
}, { skip });

scenario('a program with another layout of the tables starts them afresh, and says so', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path });
	for (let i = 0; i < 3; i++)
		assert.equal((await s.request(d, chat())).status, 200);
	rmSync(path);
	copyFileSync(join(dirname(binary), 'other-tables', 'api-router'), path);
	const pid = await d.upgrade();
	assert.match(d.log, new RegExp(`warn master\\[${pid}\\]: limits and counters start afresh: table scoreboard has version \\d+, this program's has 4000\n`));
	assert.equal(d.log.split('start afresh').length, 2);
	const quit = finish(d, pid);
	for (let i = 0; i < 5; i++)
		assert.deepEqual(await health(s, d), [200, 'ok']);
	await quit;
	const now = await samples(s, d);
	assert.equal(now('requests_total', '/v1/chat/completions'), 0);
	assert.equal(now('workers', 'ready'), 2);
	assert.equal(now('generation'), 1);
	assert.equal((await s.request(d, chat())).status, 200);
	await end(d);
}, { skip });

scenario('-D, -p, a relative path and a link in front of the program hold', async (s) => {
	const path = program(s);
	const link = join(dirname(path), 'link');
	symlinkSync('api-router', link);
	const d = s.command({}, { binary: link });
	s.keep({ report: () => read(d, 'log') ?? '', stop: () => {} });
	d.writeConfig(config({ log: { file: join(d.dir, 'log') }, access_log: { file: 'off' } }));
	const wait = (pattern) => until(() => read(d, 'log')?.match(pattern), `the log has ${pattern}`);
	const port = await freePort();
	const run = await d.runBare('-c', 'api-router.conf', '-D', '-p', String(port));
	assert.deepEqual([run.code, run.output], [0, '']);
	await d.adopt(Number(read(d, 'pid')));
	const first = d.pid;
	d.port = port;
	await wait(new RegExp(`listening on 127\\.0\\.0\\.1:${port}\n`));
	copyFileSync(path, join(dirname(path), 'other'));
	rmSync(link);
	symlinkSync('other', link);
	assert.deepEqual(await d.run('-s', 'upgrade').then((r) => [r.code, r.output]), [0, '']);
	const pid = Number((await wait(/the new master \(pid (\d+)\) serves as well/))[1]);
	assert.equal(read(d, 'pid'), `${pid}\n`);
	assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), `${link}\0-c\0api-router.conf\0-D\0-p\0${port}\0-c\0${d.configFile}\0`);
	await wait(new RegExp(`master\\[${pid}\\]: listening on 127\\.0\\.0\\.1:${port}, inherited\n`));
	assert.equal(descriptors(pid)[0], '/dev/null');
	d.processes();
	process.kill(Number(read(d, 'pid.oldbin')), 'SIGQUIT');
	await until(() => !alive(first), 'the old master has ended');
	await d.adopt(pid);
	assert.equal((await s.request(d, chat())).status, 200);
	// The configuration breaks: the reason is in the log, since there is no terminal.
	d.writeConfig('nonsense = 1;\n');
	d.signal('SIGUSR2');
	await wait(/error master\[\d+\]: .*api-router\.conf:1: .*nonsense[^]*upgrade failed: the new master \(pid \d+\) exited with status 78/);
	assert.equal(read(d, 'pid'), `${pid}\n`);
	await end(d);
}, { skip });

scenario('secrets of the environment go over, and are blank in the new master as well', async (s) => {
	const secret = 'sk-this-goes-from-one-to-the-next';
	const peer = await s.peer();
	const seen = [];
	peer.serve((request) => {
		seen.push(request.header('authorization'));
		return { json: {} };
	});
	const p = { dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], api_key: 'env:THE_SECRET' };
	const d = await start(s, { providers: { echo, p } }, { env: { THE_SECRET: secret, ANOTHER: 'stays as it is' } });
	for (let i = 0; i < 2; i++) {
		await finish(d, await d.upgrade(), { first: i === 0 });
		assert.equal((await s.request(d, chat('m'))).status, 200);
		assert.equal(seen.at(-1), `Bearer ${secret}`);
		for (const pid of [d.pid, ...workers(d)]) {
			const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
			assert.ok(!environment.includes(secret));
			assert.match(environment, /\0?ANOTHER=stays as it is\0/);
			assert.doesNotMatch(environment, /API_ROUTER_UPGRADE=[^\0]/);
		}
	}
	// A configuration that no longer names it leaves it blank as well.
	d.writeConfig(config());
	await finish(d, await d.upgrade(), { first: false });
	assert.ok(!readFileSync(`/proc/${d.pid}/environ`, 'latin1').includes(secret));
	assert.ok(!d.log.includes(secret));
	await end(d);
}, { skip });

scenario('no descriptor goes over but those that are handed over', async (s) => {
	const d = await start(s);
	const idle = await s.connect(d);
	await idle.exchange(chat());
	const before = descriptors(d.pid);
	const pid = await d.upgrade();
	const kind = (name) => name.replace(/\d+/g, 'N').replace(/\.oldbin/, '');
	const kinds = (pid_) => Object.values(descriptors(pid_)).map(kind).sort();
	// The new one has what the old one had, and a line to it; the old one the other end of that.
	const expected = [...Object.values(before).map(kind), 'socket:[N]'].sort();
	assert.deepEqual(kinds(pid), expected);
	assert.deepEqual(kinds(d.pid), expected);
	// Sockets: the listening one is the same, the others are not.
	const sockets = (pid_) => Object.values(descriptors(pid_)).filter((name) => name.startsWith('socket:'));
	assert.equal(sockets(pid).filter((name) => sockets(d.pid).includes(name)).length, 1);
	// Nor has a worker of the new one anything of the old master's.
	const lines = sockets(d.pid).filter((name) => !sockets(pid).includes(name));
	for (const worker of workers({ children: () => d.processes().filter((p) => p.ppid === pid) }))
		assert.deepEqual(sockets(worker).filter((name) => lines.includes(name)), []);
	await finish(d, pid);
	await until(() => Object.values(descriptors(pid)).length === Object.values(before).length, 'the line is closed');
	await end(d);
}, { skip });

scenario('a unix socket and TLS sessions go over, and the socket goes with the last master', async (s) => {
	const path = join(s.temporaryDirectory(), 'socket');
	const { caFile, server } = certificates();
	const listen = [{ address: '127.0.0.1', port: 0, tls: { certificate_file: server.certFile, key_file: server.keyFile } }, { address: '127.0.0.1', port: 0 },
		{ address: `unix:${path}` }];
	const d = await start(s, { listen });
	const port = d.port;
	const plain = d.listeners[1].port;
	const tls = { ca: readFileSync(caFile), minVersion: 'TLSv1.3' };
	const first = await s.connect(port, { tls });
	const had = new Promise((done) => first.socket.once('session', done));
	assert.equal((await first.exchange(chat())).status, 200);
	const session = await had;
	first.destroy();
	for (let i = 0; i < 2; i++) {
		const old = d.pid;
		const pid = await d.upgrade();
		await d.waitLog(new RegExp(`master\\[${pid}\\]: listening on unix:${path}, inherited\n`));
		if (i === 1) {
			process.kill(pid, 'SIGQUIT'); // and back
			await d.waitLog(new RegExp(`the new master \\(pid ${pid}\\) exited with status 0`), { ms: 20000 });
			assert.equal(d.pid, old);
		} else {
			await finish(d, pid);
		}
		assert.equal((await s.request({ path }, chat())).status, 200);
		const again = await s.connect(port, { tls: { ...tls, session } });
		assert.equal(again.socket.isSessionReused(), true);
		assert.equal((await again.exchange(chat())).status, 200);
		again.destroy();
	}
	assert.equal((await s.request(plain, chat())).status, 200);
	await end(d);
	assert.equal(existsSync(path), false);
}, { skip });

scenario('the file of a unix socket goes with the last master that listens there', async (s) => {
	const dir = s.temporaryDirectory();
	chmodSync(dir, 0o755);
	const [a, b] = [join(dir, 'a'), join(dir, 'b')];
	const listen = (path) => [{ address: '127.0.0.1', port: 0 }, { address: `unix:${path}` }];
	const d = await start(s, { listen: listen(a) });
	d.writeConfig(config({ listen: listen(b) }));
	process.kill(await d.upgrade(), 'SIGQUIT'); // and back
	await d.waitLog(/the new master .*: this one goes on\n/, { ms: 20000 });
	assert.deepEqual([existsSync(a), existsSync(b)], [true, false]);
	assert.equal((await s.request({ path: a }, chat())).status, 200);
	await finish(d, await d.upgrade());
	assert.deepEqual([existsSync(a), existsSync(b)], [false, true]);
	assert.equal((await s.request({ path: b }, chat())).status, 200);
	// Both end at the same time.
	const old = d.pid;
	const pid = await d.upgrade();
	process.kill(pid, 'SIGTERM');
	process.kill(old, 'SIGTERM');
	await until(() => !alive(old) && !alive(pid), 'both have ended', 20000);
	assert.equal(existsSync(b), false);
}, { skip });

scenario('a command line that ends in -- can be upgraded', async (s) => {
	const path = program(s);
	const d = await start(s, {}, { binary: path, args: ['-c', 'api-router.conf', '--'] });
	await finish(d, await d.upgrade());
	await end(d);
}, { skip });
