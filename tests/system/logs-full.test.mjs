// logs-full: logs that cannot be written: no room, no reader, nobody who listens. Nothing waits, every line that is
// written is whole, and what was lost is counted to the line.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeMeter } from '../lib/metrics.mjs';
import { setLimit, noLimits, workers } from '../lib/processes.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';

const echo = { dialect: 'echo', models: ['echo'] };
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
const lines = (text) => text.split('\n').slice(0, -1);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Requests one after the other on each of a few connections, all of which must be answered. Their ids.
async function requests(s, d, n) {
	const conns = await Promise.all(Array.from({ length: 4 }, () => s.connect(d)));
	const ids = [];
	await Promise.all(conns.map(async (conn) => {
		for (let i = 0; i < n / conns.length; i++) {
			const reply = await conn.exchange(chat);
			assert.equal(reply.status, 200);
			ids.push(reply.header('x-request-id'));
		}
		conn.destroy();
	}));
	return ids;
}
// They are all written; and so whatever those workers had to write before.
async function areWritten(path, ids) {
	await until(() => {
		const text = readFileSync(path, 'utf8');
		return ids.every((id) => text.includes(id));
	}, 'they are all in the log');
}
// Lines lost, as it stands when the workers have told of it; their own lines about /metrics are in the access log too.
const lost = async (meter) => (await meter.now('log_lines_lost_total'))[''];

// End the daemon; what its log told as lost of the access log, all in all.
async function told(d) {
	d.signal('SIGTERM');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	return [...d.log.matchAll(/: (\d+) lines of the access log were lost/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}
// Every line of an access log is one, of a request of its own.
function assertWhole(text) {
	assert.ok(text === '' || text.endsWith('\n'));
	const all = lines(text).map((line) => JSON.parse(line));
	assert.equal(new Set(all.map((l) => l.request_id)).size, all.length);
	return all.length;
}

scenario('a file at its limit of size: several workers, and no line in the middle of another when there is room again', async (s) => {
	const d = s.command({});
	const path = join(d.dir, 'access');
	d.writeConfig({ workers: 3, providers: { echo }, access_log: { file: path, format: 'json' } });
	await d.start();
	const pids = workers(d);
	let total = 0;
	await areWritten(path, await requests(s, d, 40));
	total += 40;
	const unlimited = new Map();
	for (let round = 0; round < 4; round++) {
		// Room for a line and a part of one.
		const size = statSync(path).size;
		for (const pid of workers(d))
			unlimited.set(pid, setLimit(pid, 'fsize', size + 700));
		await requests(s, d, 80);
		total += 80;
		await until(() => statSync(path).size > size && readFileSync(path, 'utf8').endsWith('\n'), 'a part of a line is taken back');
		assert.ok(statSync(path).size <= size + 700);
		assertWhole(readFileSync(path, 'utf8'));
		for (const pid of workers(d))
			setLimit(pid, 'fsize', unlimited.get(pid));
		await areWritten(path, await requests(s, d, 40));
		total += 40;
	}
	assert.deepEqual(workers(d), pids, 'SIGXFSZ kills nobody');
	const gone = await told(d), written = assertWhole(readFileSync(path, 'utf8'));
	assert.ok(gone > 0);
	assert.equal(written + gone, total);
}, { skip: noLimits });

scenario('a log that is full says so when there is room again', async (s) => {
	const d = s.command({});
	d.writeConfig({ providers: { echo }, log: { file: join(d.dir, 'stderr') } });
	await d.start();
	const meter = await makeMeter(s, d);
	const tell = async () => {
		d.signal('SIGTTOU'); // one line: the number of workers stays
		await wait(30);
	};
	const before = d.log;
	const limit = setLimit(d.pid, 'fsize', before.length + 10);
	for (let i = 0; i < 3; i++)
		await tell();
	assert.equal(d.log, before, 'no part of a line is left');
	await until(async () => await lost(meter) === 3, 'they are counted');
	setLimit(d.pid, 'fsize', limit);
	await tell();
	await d.waitLog(/the number of workers stays 1/);
	const [first, second, ...others] = lines(d.log.slice(before.length));
	assert.match(first, new RegExp(`^${TIME} warn master\\[${d.pid}\\]: 3 log lines were lost$`));
	assert.match(second, new RegExp(`^${TIME} warn master\\[${d.pid}\\]: TTOU: the number of workers stays 1`));
	assert.deepEqual(others, []);
	assert.equal(await lost(meter), 3);
}, { skip: noLimits });

const namespaces = process.getuid() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
const noNamespaces = (!namespaces && 'only root has mounts of its own') || (underValgrind && 'not under another program') || false;
// Run the daemon with mounts of its own, made by shell commands.
const mounted = (commands) => ({ under: ['unshare', '-m', 'sh', '-ec', `${commands}\nexec "$@"`, 'sh'] });

scenario('a full disk, and one that has room again', async (s) => {
	const dir = s.temporaryDirectory();
	const d = await s.daemon({ workers: 2, providers: { echo }, access_log: { file: join(dir, 'access'), format: 'json' } },
		mounted(`mount -t tmpfs -o size=64k,mode=777 none '${dir}'`));
	const inside = (name) => `/proc/${d.pid}/root${join(dir, name)}`;
	// All of the disk but a page.
	const fill = () => {
		const fd = openSync(inside('other'), 'a');
		for (;;) {
			try {
				writeSync(fd, Buffer.alloc(4096));
			} catch (error) {
				assert.equal(error.code, 'ENOSPC');
				break;
			}
		}
		closeSync(fd);
	};
	let total = 0;
	for (let round = 0; round < 3; round++) {
		await requests(s, d, 8);
		fill();
		await requests(s, d, 120);
		total += 128;
		await until(() => /(^|\n)$/.test(readFileSync(inside('access'), 'utf8')), 'a part of a line is taken back');
		unlinkSync(inside('other'));
	}
	await requests(s, d, 8);
	total += 8;
	await until(() => readFileSync(inside('access'), 'utf8').length > 0, 'there are some');
	const fd = openSync(inside('access'), 'r'); // it outlives the mount
	const gone = await told(d);
	const written = assertWhole(readFileSync(fd, 'utf8'));
	closeSync(fd);
	assert.ok(gone > 0);
	assert.equal(written + gone, total);
}, { skip: noNamespaces });

scenario('/dev/full as a log takes nothing, and nothing waits for it', async (s) => {
	const d = await s.daemon({ providers: { echo }, access_log: { file: '/dev/full', format: 'json' } });
	await requests(s, d, 100);
	await d.waitLog(/warn worker 0\[\d+\]: \d+ lines of the access log were lost\n/);
	const meter = await makeMeter(s, d);
	await until(async () => await lost(meter) >= 100, 'all are counted');
	meter.forget();
	assert.ok(await told(d) >= 100);
}, { skip: !existsSync('/dev/full') && 'there is no /dev/full' });

// ---- syslog

// Somebody who listens at a path for datagrams and keeps them, a line each.
class Listener {
	constructor(s, path, out) {
		this.path = path;
		this.out = out;
		s.keep(this);
	}
	async start() {
		writeFileSync(this.out, '', { flag: 'a' });
		this.child = spawn('python3', ['-c', `
import os, socket, sys
path, out = sys.argv[1:]
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(path)
os.chmod(path, 0o666)
f = open(out, 'ab', buffering=0)
print('ready', flush=True)
while True:
    f.write(s.recv(65536) + b'\\n')`, this.path, this.out], { stdio: ['ignore', 'pipe', 'inherit'] });
		await new Promise((resolve) => this.child.stdout.once('data', resolve));
	}
	get text() {
		return readFileSync(this.out, 'utf8');
	}
	signal(name) {
		this.child.kill(name);
	}
	async end() {
		const ended = new Promise((resolve) => this.child.once('exit', resolve));
		this.child.kill('SIGKILL');
		await ended;
		this.child = undefined;
	}
	async stop() {
		if (this.child)
			await this.end();
	}
	report() {
		return `--- datagrams\n${this.text.slice(-10000)}`;
	}
}

scenario('syslog: missing, there, gone, back, stopped: every line is there or counted', async (s) => {
	const dir = s.temporaryDirectory();
	spawnSync('chmod', ['777', dir]);
	const system = new Listener(s, join(dir, 'log'), join(dir, 'datagrams'));
	const devices = ['null', 'zero', 'full', 'random', 'urandom'];
	const d = await s.daemon({ providers: { echo } }, mounted(`
		mkdir '${dir}/dev'
		mount -t tmpfs -o mode=755 none '${dir}/dev'
		for name in ${devices.join(' ')}; do
			touch '${dir}/dev/'$name
			mount --bind /dev/$name '${dir}/dev/'$name
		done
		ln -s '${dir}/log' '${dir}/dev/log'
		mount --rbind '${dir}/dev' /dev`));
	const meter = await makeMeter(s, d);
	const config = { providers: { echo }, log: { file: 'syslog' } };
	// Nobody is there at all. Each TTOU is a line of the master's.
	d.writeConfig(config);
	d.signal('SIGHUP');
	await until(async () => {
		meter.forget();
		return (await meter.now('generation'))[''] === 2;
	}, 'the second generation serves');
	await until(async () => {
		meter.forget();
		return await lost(meter) > 0;
	}, 'lines are lost');
	assert.equal((await s.request(d, chat)).status, 200);

	// The most that may pass until it is tried again is a second.
	await system.start();
	await until(async () => {
		d.signal('SIGTTOU');
		await wait(100);
		return /the number of workers stays/.test(system.text);
	}, 'a line comes through');
	assert.match(system.text, new RegExp(`^<28>[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d api-router\\[${d.pid}\\]: master: \\d+ log lines were lost$`, 'm'));

	// It ends: what is said meanwhile is counted, and told when another is there.
	await system.end();
	const before = await lost(meter);
	for (let i = 0; i < 5; i++) {
		d.signal('SIGTTOU');
		await wait(30);
	}
	await until(async () => await lost(meter) === before + 5, 'five lines are counted');
	await wait(1000); // it is looked for once a second
	const at = system.text.length;
	await system.start();
	d.signal('SIGTTOU');
	await until(() => /the number of workers stays/.test(system.text.slice(at)), 'a line comes through');
	assert.match(system.text.slice(at), /: master: 5 log lines were lost$/m);

	// It stands still: its queue fills, nobody waits, and what it had taken is there when it goes on.
	meter.forget();
	d.writeConfig({ ...config, access_log: { file: 'syslog', format: 'json' } });
	d.signal('SIGHUP');
	await until(() => /ready: 1 workers, generation 3$/m.test(system.text), 'the access log goes there too');
	await until(() => workers(d).length === 1, 'the old worker has gone');
	const own = (text) => lines(text).filter((l) => /"path":"\/v1\/chat/.test(l)).length;
	assert.equal(own(system.text), 0);
	system.signal('SIGSTOP');
	const start = await lost(meter);
	await requests(s, d, 1000);
	await until(async () => await lost(meter) > start, 'some are lost');
	system.signal('SIGCONT');
	let now;
	await until(async () => {
		// Lines of the log and of /metrics are lost too, and told of.
		now = await lost(meter) - start;
		return own(system.text) > 0 && own(system.text) + now >= 1000;
	}, 'all are there or counted');
	assert.ok(own(system.text) < 1000);
	assert.ok(/lines of the access log were lost/.test(system.text) || now > 0);
}, { skip: noNamespaces });
