// notify: what a service manager is told over NOTIFY_SOCKET, and the sockets that it hands down. Node has no datagrams over unix
// sockets, so Python listens.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { alive, descriptors, workers } from '../lib/processes.mjs';

const echo = { dialect: 'echo', models: ['echo'] };
const config = (more = {}) => ({ workers: 2, providers: { echo }, ...more });
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const skip = underValgrind && 'valgrind does not follow the new master';

const LISTENER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1) if sys.argv[1].startswith('@') else sys.argv[1])
print('"bound"', flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;
// A service manager: each message that came, as an object.
async function manager(s, name = join(s.temporaryDirectory(), 'notify')) {
	const child = spawn('python3', ['-c', LISTENER, name], { stdio: ['ignore', 'pipe', 'inherit'] });
	let text = '';
	child.stdout.on('data', (bytes) => (text += bytes));
	const lines = () => text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
	const m = {
		name,
		all: () => lines().slice(1).map((message) => Object.fromEntries(message.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)))),
		// The first behind `from` that has all of this.
		wait: (what, from = 0) => until(() => m.all().slice(from).find((message) =>
			Object.entries(what).every(([key, value]) => (value instanceof RegExp ? value.test(message[key] ?? '') : message[key] === String(value)))),
			`${JSON.stringify(what)} came: ${text}`, 30000),
		stop: () => child.kill(),
		report: () => `--- messages\n${text}`,
	};
	s.keep(m);
	await until(() => lines().length > 0, 'it is bound');
	return m;
}
const start = (s, m, more, { env, under = [] } = {}) => s.daemon(config(more), { under: ['setsid', ...under], env: { NOTIFY_SOCKET: m.name, ...env } });

for (const [what, name] of [['a path', undefined], ['an abstract name', `@api-router-test-${process.pid}`]])
	scenario(`READY, RELOADING and STOPPING are told to ${what}`, async (s) => {
		const m = await manager(s, name);
		const d = await start(s, m);
		await m.wait({ READY: 1, MAINPID: d.pid, STATUS: '2 workers, generation 1' });
		let n = m.all().length;
		const before = process.hrtime.bigint() / 1000n;
		d.signal('SIGHUP');
		const reloading = await m.wait({ RELOADING: 1, STATUS: `reading ${d.configFile} again` }, n);
		assert.match(reloading.MONOTONIC_USEC, /^\d+$/);
		assert.ok(BigInt(reloading.MONOTONIC_USEC) >= before && BigInt(reloading.MONOTONIC_USEC) <= process.hrtime.bigint() / 1000n);
		await m.wait({ READY: 1, STATUS: '2 workers, generation 2' }, n);
		assert.ok(m.all().findIndex((x) => x.RELOADING) < m.all().findLastIndex((x) => x.READY));
		n = m.all().length;
		const good = d.config;
		d.writeConfig(`${good}nonsense = 1;\n`);
		d.signal('SIGHUP');
		await m.wait({ RELOADING: 1 }, n);
		await m.wait({ READY: 1, STATUS: '2 workers, generation 2' }, n);
		n = m.all().length;
		d.signal('SIGWINCH');
		await m.wait({ READY: 1, STATUS: 'no workers run (WINCH)' }, n);
		assert.ok(!m.all().some((x) => x.STOPPING));
		d.signal('SIGQUIT');
		await m.wait({ STOPPING: 1, STATUS: 'finishing open requests' }, n);
		assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
		assert.ok(!m.all().some((x) => x.WATCHDOG), 'nobody asked for it');
	});

scenario('a start that fails is not ready, and nobody to be told is no failure', async (s) => {
	const m = await manager(s);
	const d = s.command(config({ nonsense: 1 }), { env: { NOTIFY_SOCKET: m.name } });
	assert.equal((await d.run()).code, 78);
	const other = await s.daemon(config(), { env: { NOTIFY_SOCKET: join(m.name, 'is no directory') } });
	await other.waitLog(/warn master\[\d+\]: cannot tell NOTIFY_SOCKET "READY=1": Not a directory\n/);
	assert.equal((await s.request(other, chat)).status, 200);
	const relative = await s.daemon(config(), { env: { NOTIFY_SOCKET: 'relative' } });
	await relative.waitLog(/NOTIFY_SOCKET is neither a path nor a name behind @: relative\n/);
	assert.deepEqual(m.all(), []);
});

scenario('WATCHDOG is told while a worker moves, by whom it is asked of', async (s) => {
	const m = await manager(s);
	const d = await start(s, m, { workers: 1 }, { env: { WATCHDOG_USEC: '2000000' }, under: ['sh', '-c', 'WATCHDOG_PID=$$ exec "$@"', 'sh'] });
	const barks = () => m.all().filter((x) => x.WATCHDOG === '1').length;
	await until(() => barks() >= 3, 'three of them came');
	process.kill(workers(d)[0], 'SIGSTOP');
	const before = barks();
	await d.waitLog(/has not moved for 10 s: aborted/, { ms: 30000 });
	assert.ok(barks() - before <= 4, `${barks() - before} of them while no worker moved`);
	const after = barks();
	await until(() => barks() > after, 'they come again with another worker', 30000);
	const other = await manager(s);
	const e = await start(s, other, {}, { env: { WATCHDOG_USEC: '200000', WATCHDOG_PID: String(process.pid) } });
	await until(() => workers(e).length === 2, 'it runs');
	e.signal('SIGQUIT');
	await e.waitExit();
	await other.wait({ STOPPING: 1 });
	assert.ok(!other.all().some((x) => x.WATCHDOG));
}, { ms: 90000 });

scenario('the manager follows the master that serves', async (s) => {
	const m = await manager(s);
	const d = await start(s, m, {}, { env: { WATCHDOG_USEC: '2000000' }, under: ['sh', '-c', 'WATCHDOG_PID=$$ exec "$@"', 'sh'] });
	await m.wait({ READY: 1, MAINPID: d.pid });
	for (const [signal, generation] of [['SIGQUIT', 2], ['SIGKILL', 3]]) {
		const n = m.all().length;
		const pid = await d.upgrade();
		await m.wait({ READY: 1, MAINPID: pid, STATUS: `2 workers, generation ${generation}` }, n);
		assert.ok(!m.all().slice(n).some((x) => x.MAINPID === String(d.pid)));
		const back = m.all().length;
		process.kill(pid, signal);
		await m.wait({ READY: 1, MAINPID: d.pid, STATUS: '2 workers, generation 1' }, back);
		await d.waitLog(/: this one goes on\n/);
		await until(() => !alive(pid), 'the new one has ended', 20000);
	}
	// The old one is followed no more while there is another: what it does is its own affair.
	const pid = await d.upgrade();
	await m.wait({ READY: 1, MAINPID: pid });
	const n = m.all().length;
	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 5\n/);
	d.signal('SIGQUIT');
	await d.waitExit();
	d.pid = pid;
	await m.wait({ WATCHDOG: 1 }, m.all().length);
	assert.ok(!m.all().slice(n).some((x) => x.STOPPING || x.RELOADING || x.READY), JSON.stringify(m.all().slice(n)));
	assert.ok(!m.all().some((x) => x.STOPPING));
	d.processes();
	d.signal('SIGQUIT');
	await m.wait({ STOPPING: 1 });
	await until(() => !alive(pid), 'it has ended', 20000);
}, { skip, ms: 90000 });

// Sockets at descriptors 3, 4, ... and then the daemon. Words: tcp:PORT, udp.
const WRAPPER = `
import os, socket, sys
words, command = sys.argv[1].split(','), sys.argv[2:]
os.closerange(3, 64)
for fd, word in enumerate(words, 3):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if word == 'udp' else socket.SOCK_STREAM)
    if s.fileno() != fd:
        os.dup2(s.fileno(), fd)
        s.close()
        s = socket.socket(fileno=fd)
    os.set_inheritable(fd, True)
    if word != 'udp':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', int(word.split(':')[1])))
        s.listen(16)
    s.detach()
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(words)), LISTEN_FDNAMES=':'.join(words))
os.execv(command[0], command)
`;
async function freePorts(n) {
	const servers = Array.from({ length: n }, () => net.createServer().listen(0, '127.0.0.1'));
	await Promise.all(servers.map((server) => new Promise((done) => server.once('listening', done))));
	const ports = servers.map((server) => server.address().port);
	await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
	return ports;
}

scenario('sockets of LISTEN_FDS serve the listeners with their addresses', async (s) => {
	const [port, unknown] = await freePorts(2);
	const listen = [{ address: '127.0.0.1', port: 0 }, { address: '127.0.0.1', port }];
	const d = await s.daemon(config({ listen }), { under: ['setsid', 'python3', '-c', WRAPPER, `tcp:${port},udp,tcp:${unknown}`] });
	await d.waitLog(new RegExp(`listening on 127\\.0\\.0\\.1:${port}, inherited\n`));
	await d.waitLog(/descriptor 4 of LISTEN_FDS is not a listening stream socket: closed\n/);
	await d.waitLog(new RegExp(`warn master\\[\\d+\\]: no listener has the address of the inherited socket 127\\.0\\.0\\.1:${unknown}: closed\n`));
	assert.match(d.log, /listening on 127\.0\.0\.1:\d+\n/, 'port 0 is another one');
	assert.ok(![port, unknown].includes(d.port));
	for (const to of [d.port, port])
		assert.equal((await s.request(to, chat)).status, 200);
	const flags = parseInt(readFileSync(`/proc/${d.pid}/fdinfo/3`, 'latin1').match(/flags:\s+(\d+)/)[1], 8);
	assert.match(descriptors(d.pid)[3], /^socket:/);
	assert.equal(flags & 0o4000, 0o4000, 'it is non-blocking');
	assert.equal(flags & 0o2000000, 0o2000000, 'and close-on-exec');
	const pid = await d.upgrade();
	await d.waitLog(new RegExp(`master\\[${pid}\\]: listening on 127\\.0\\.0\\.1:${d.port}, inherited\n`));
	assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), /LISTEN_/);
	d.signal('SIGQUIT');
	await d.waitExit();
	d.pid = pid;
	for (const to of [d.port, port])
		assert.equal((await s.request(to, chat)).status, 200);
	d.processes();
	d.signal('SIGTERM');
	await until(() => !alive(pid), 'it has ended');
}, { skip });
