// background: -D and the pid file; -s to whoever holds it; what a daemon is started with and sent.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limit, scenario, until, underValgrind } from '../lib/scenario.mjs';
import { alive, descriptors, isListening, resolvers, status, workers } from '../lib/processes.mjs';

const echo = { dialect: 'echo', models: ['echo'], echo: { interval: 0.02 } };
const named = { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['named'] };
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };

const read = (d, name) => (existsSync(join(d.dir, name)) ? readFileSync(join(d.dir, name), 'utf8') : '');
const waitFor = (d, pattern, name = 'log') => until(() => read(d, name).match(pattern), `${name} has ${pattern}`);

// Not started yet. Its logs are files, since -D has no standard output.
function configured(s, more = {}) {
	const d = s.command({});
	d.good = { workers: 2, providers: { echo, named }, log: { file: join(d.dir, 'log') },
		access_log: { file: join(d.dir, 'access'), format: 'json' }, ...more };
	d.writeConfig(d.good);
	s.keep({ report: () => `--- the log\n${read(d, 'log')}`, stop: () => {} });
	return d;
}
async function detach(d) {
	const run = await d.run('-D');
	assert.deepEqual({ code: run.code, output: run.output }, { code: 0, output: '' });
	await d.adopt(Number(read(d, 'pid')));
	d.port = Number([...read(d, 'log').matchAll(/listening on 127\.0\.0\.1:(\d+)/g)].at(-1)[1]);
}

scenario('-D returns 0 when it serves, in a session of its own, with nothing of the terminal', async (s) => {
	const d = configured(s);
	await detach(d);
	// Without a wait: that it serves is what the status said.
	assert.equal((await s.request(d, chat)).status, 200);
	assert.match(read(d, 'pid'), /^\d+\n$/);
	assert.match(read(d, 'log'), /info master\[\d+\]: ready: 2 workers, generation 1\n/);
	for (const pid of [d.pid, ...workers(d)]) {
		const open = descriptors(pid);
		assert.deepEqual([open[0], open[1], open[2]], ['/dev/null', '/dev/null', '/dev/null']);
		const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const [, , , session, terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		assert.equal(Number(session), d.pid);
		assert.equal(terminal, '0');
		assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
	}
	assert.equal(d.processes()[0].ppid === process.pid, false, 'its parent has gone');
});

scenario('-D returns the status and the reason of a start that fails', async (s) => {
	const busy = await s.daemon({ providers: { echo } });
	const listen = [{ address: '127.0.0.1', port: busy.port }];
	const cases = [
		[{ listen }, 1, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${busy.port}: Address already in use`)],
		[{ nonsense: 1 }, 78, /api-router\.conf:\d+: .*nonsense/],
		[{ log: { file: '/proc/nothing' } }, 1, /log\.file: cannot open \/proc\/nothing: No such file/],
		[{ pid_file: '/proc/nothing' }, 1, /api-router\.conf:\d+: pid_file: cannot write \/proc\/nothing: No such file/],
		[{ log: { file: 'stderr' } }, 78, /log\.file/],
		[{ access_log: { file: 'stdout' } }, 78, /access_log\.file/],
	];
	for (const [more, status, message] of cases) {
		const d = configured(s, more);
		const run = await d.run('-D');
		assert.equal(run.code, status, run.output);
		assert.match(run.stderr, message);
		assert.equal(run.stdout, '');
		assert.ok(!existsSync(join(d.dir, 'pid')), 'no pid file is left');
	}
	assert.equal((await s.request(busy, chat)).status, 200);
});

scenario('a second start is refused, in the background and in the foreground, and leaves the first alone', async (s) => {
	const d = configured(s);
	await detach(d);
	for (const args of [['-D'], []]) {
		const run = await d.run(...args);
		assert.equal(run.code, 1, run.output);
		assert.match(run.stderr, new RegExp(`already running: process ${d.pid} holds ${d.dir}/pid; a second daemon needs a pid_file of its own\n`));
	}
	assert.equal(read(d, 'pid'), `${d.pid}\n`);
	assert.equal((await s.request(d, chat)).status, 200);
	assert.equal((await d.run('-s', 'reload')).code, 0, 'the lock is still held');
	await waitFor(d, /ready: 2 workers, generation 2\n/);
});

scenario('a pid file that a crash left, with any number in it, is no obstacle', async (s) => {
	const d = configured(s);
	writeFileSync(join(d.dir, 'pid'), `${process.pid}\n`);
	const none = await d.run('-s', 'stop');
	assert.equal(none.code, 1, 'nobody holds it, so nobody is signalled');
	assert.match(none.stderr, new RegExp(`not running: nobody holds ${d.dir}/pid\n`));
	await detach(d);
	const first = d.pid;
	d.processes();
	d.signal('SIGKILL');
	await until(() => d.survivors().length === 0, 'all of them have ended');
	assert.equal(read(d, 'pid'), `${first}\n`, 'it was left behind');
	await detach(d);
	assert.notEqual(d.pid, first);
	assert.equal((await s.request(d, chat)).status, 200);
});

scenario('-s stop, quit, reload and reopen, also with a file that is otherwise broken', async (s) => {
	const d = configured(s);
	await detach(d);
	assert.deepEqual(await d.run('-s', 'reload').then((r) => [r.code, r.output]), [0, '']);
	await waitFor(d, /ready: 2 workers, generation 2\n/);
	await until(() => workers(d).length === 2, 'the old generation has gone');

	d.writeConfig(d.good);
	writeFileSync(d.configFile, `${d.config}\nnonsense {{{ = ;\n`);
	assert.equal((await d.run('-t')).code, 78);
	renameSync(join(d.dir, 'log'), join(d.dir, 'log.1'));
	assert.deepEqual(await d.run('-s', 'reopen').then((r) => [r.code, r.output]), [0, '']);
	await waitFor(d, /log files reopened\n/);
	assert.equal((await d.run('-s', 'reload')).code, 0);
	await waitFor(d, /api-router\.conf:\d+: [^]*reload failed: generation 2 stays in service\n/);

	// quit finishes a stream, and is not waited for.
	const conn = await s.connect(d);
	await conn.request({ ...chat, json: { ...chat.json, stream: true, messages: [{ role: 'user', content: 'word '.repeat(80) }] } });
	const reply = await conn.readHead();
	await reply.event();
	d.processes();
	assert.deepEqual(await d.run('-s', 'quit').then((r) => [r.code, r.output]), [0, '']);
	await reply.finish();
	assert.equal(reply.events.at(-1).data, '[DONE]');
	conn.destroy();
	await until(() => !alive(d.pid), 'it has ended', 5000);
	assert.deepEqual(d.survivors(), []);
	assert.ok(!existsSync(join(d.dir, 'pid')));

	const none = await d.run('-s', 'stop');
	assert.equal(none.code, 1);
	assert.match(none.stderr, /not running: nobody holds/);

	d.writeConfig(d.good);
	await detach(d);
	d.processes();
	const port = d.port;
	const start = Date.now();
	assert.equal((await d.run('-s', 'stop')).code, 0);
	await until(() => !alive(d.pid), 'it has ended', 5000);
	assert.ok(Date.now() - start < limit(5000));
	assert.ok(!isListening(port));
	assert.deepEqual(d.survivors(), []);
});

scenario('started with stdin, stdout and stderr closed, no log line goes into the memory that the processes share', async (s) => {
	const d = s.command({}, { closed: true });
	// Standard output takes the lines of the access log, as by default.
	d.writeConfig({ workers: 2, providers: { echo }, log: { file: join(d.dir, 'stderr') } });
	await d.start();
	const before = workers(d);
	for (const pid of [d.pid, ...before]) {
		const open = descriptors(pid);
		assert.deepEqual([open[0], open[1], open[2]], ['/dev/null', '/dev/null', '/dev/null']);
	}
	// More than one flush of the log, each of which would write over what is there.
	for (let i = 0; i < 5; i++)
		assert.equal((await s.request(d, chat)).status, 200);
	const health = await s.request(d, { path: '/health' });
	assert.equal(health.status, 200);
	assert.deepEqual([health.json.status, health.json.workers], ['ok', 2]);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	assert.equal((await s.request(d, chat)).status, 200);
	assert.doesNotMatch(d.log, /killed|aborted|exited with status [1-9]/); // an old worker may be gone already
}, { skip: underValgrind && 'valgrind takes a free descriptor for its report' });

scenario('USR2, and what else only the master obeys, ends neither a worker nor the resolver', async (s) => {
	const d = await s.daemon({ providers: { echo, named } });
	await until(() => resolvers(d).length === 1, 'there is a resolver');
	const [worker] = workers(d);
	const [resolver] = resolvers(d);
	const conn = await s.connect(d);
	for (const name of ['SIGUSR2', 'SIGUSR1', 'SIGHUP', 'SIGINT', 'SIGTTIN', 'SIGTTOU']) {
		for (const pid of [worker, resolver]) {
			process.kill(pid, name);
			await until(() => !alive(pid) || /^0+$/.test(status(pid, 'ShdPnd')), `${name} has reached ${pid}`);
		}
		await conn.request(chat);
		assert.equal((await conn.readReply()).status, 200, name);
	}
	conn.destroy();
	assert.deepEqual([workers(d), resolvers(d)], [[worker], [resolver]]);
	assert.doesNotMatch(d.log, /killed by signal/);
});
