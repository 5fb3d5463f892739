// logs: both logs as files that are renamed under load, as pipes that nobody reads, and in each format.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync, readSync, readdirSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scenario, until } from '../lib/scenario.mjs';
import { Load } from '../lib/load.mjs';
import { reply } from '../lib/peer.mjs';
import { descriptors, mappings, workers } from '../lib/processes.mjs';

const echo = { dialect: 'echo', models: ['echo'], echo: { interval: 0.005 } };
const named = { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['named'] };
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
const LOG_LINE = new RegExp(`^${TIME} (error|warn|info|debug) (master|worker \\d+|resolver)\\[\\d+\\]: \\S.*$`);
const lines = (text) => text.split('\n').slice(0, -1);

// A daemon whose configuration has to name files of its own directory. Its log is the file that the harness reads,
// but named by its path, so that it is opened and reopened like any other.
async function withFiles(s, more) {
	const d = s.command({});
	d.writeConfig({
		providers: { echo, named },
		log: { file: join(d.dir, 'stderr') },
		access_log: { file: join(d.dir, 'access'), format: 'json' },
		...more(d.dir),
	});
	await d.start();
	return d;
}
// A pipe of the test's own that nobody reads.
function pipe(s, dir, name) {
	const path = join(dir, name);
	execFileSync('mkfifo', [path]);
	execFileSync('chmod', ['666', path]);
	const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
	s.keep({ stop: () => closeSync(fd) });
	const take = () => {
		const buffer = Buffer.alloc(1 << 20);
		let len = 0;
		for (;;) {
			try {
				len += readSync(fd, buffer, len, buffer.length - len, null);
			} catch {
				return buffer.toString('utf8', 0, len);
			}
		}
	};
	const fill = () => {
		for (const size of [4096, 1])
			for (;;) {
				try {
					writeSync(fd, '\n'.repeat(size));
				} catch {
					break;
				}
			}
	};
	return { path, fd, take, fill };
}

scenario('log files renamed under load: no line is lost, and all processes write to the new ones', async (s) => {
	const provider = await s.peer();
	const held = { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['held'] };
	const d = await withFiles(s, () => ({ workers: 3, providers: { echo, named, held } }));
	const load = s.keep(new Load(d, { clients: 8, keepAlive: false })); // so that every worker gets some
	// A request of an old generation that has its line to write yet.
	const old = workers(d);
	const conn = await s.connect(d);
	await conn.request({ ...chat, headers: { 'x-request-id': 'the-long-one' }, json: { ...chat.json, model: 'held' } });
	const upstream = await provider.request();
	d.signal('SIGHUP');
	await d.waitLog(/ready: 3 workers, generation 2\n/);
	for (let i = 0; i < 10; i++) {
		await load.more(20);
		for (const name of ['stderr', 'access'])
			renameSync(join(d.dir, name), join(d.dir, `${name}.${i}`));
		d.signal('SIGUSR1');
		await d.waitLog(/info master\[\d+\]: log files reopened\n/);
	}
	await until(() => {
		// Standard error itself is the first of the files, by the harness.
		const open = d.processes().flatMap(({ pid }) => Object.entries(descriptors(pid)));
		return !open.some(([fd, path]) => fd !== '2' && /\/(stderr|access)\.\d/.test(path));
	}, 'nobody has a renamed file open', 3000);
	const now = () => lines(readFileSync(join(d.dir, 'access'), 'utf8')).map((line) => JSON.parse(line));
	await until(() => workers(d).every((pid) => old.includes(pid) || now().some((l) => l.worker === pid)),
		'each worker writes to the new file', 20000);
	await load.stop();
	await upstream.conn.send(reply({ body: { object: 'chat.completion' } }));
	assert.equal((await conn.readReply()).status, 200);
	conn.destroy();
	const files = readdirSync(d.dir).filter((name) => name.startsWith('access'));
	assert.equal(files.length, 11);
	const count = () => files.flatMap((name) => lines(readFileSync(join(d.dir, name), 'utf8')));
	await until(() => count().length === load.done + 1, `${load.done + 1} lines are there`);
	assert.deepEqual(load.failed, [], load.report());
	const all = count().map((line) => JSON.parse(line));
	assert.equal(new Set(all.map((l) => l.request_id)).size, all.length, 'each request has one line');
	assert.ok(now().some((l) => l.request_id === 'the-long-one'), 'the old generation writes to the new file too');
	for (const line of readdirSync(d.dir).filter((n) => n.startsWith('stderr')).flatMap((n) => lines(readFileSync(join(d.dir, n), 'utf8'))))
		assert.match(line, LOG_LINE);
	// What workers say goes there as well.
	d.processes();
	d.signal('SIGKILL');
	await d.waitLog(/warn worker \d\[\d+\]: the master is gone/);
	await until(() => d.survivors().length === 0, 'all have ended');
	await d.waitExit();
});

// What a reader of the access log finds: how often each request stands there, every line being whole.
const counted = (text) => {
	const times = new Map();
	for (const { request_id: id } of lines(text).map((line) => JSON.parse(line)))
		times.set(id, (times.get(id) ?? 0) + 1);
	return times;
};

// Memory that a process shares with those that it was forked from, and they with it.
const shared = (pid) => mappings(pid).filter((m) => /^\S+ rw-s .*\/dev\/zero \(deleted\)\n/.test(m)).length;

scenario('the lines of a worker are shared with its master alone, and freed after it', async (s) => {
	const d = await withFiles(s, () => ({ workers: 4 }));
	const others = shared(d.pid) - 4;
	const assertShared = () => {
		const pids = workers(d);
		assert.deepEqual([d.pid, ...pids].map(shared), [others + 4, ...pids.map(() => others + 1)]);
	};
	assertShared();
	for (let generation = 2; generation < 12; generation++) {
		process.kill(workers(d)[0], 'SIGKILL');
		d.signal('SIGHUP');
		await d.waitLog(new RegExp(`ready: 4 workers, generation ${generation}\\n`));
		await until(() => d.children().length === 5, 'the old ones have gone'); // a resolver
	}
	assertShared();
});

scenario('a worker killed right after its replies: their lines are there, once', async (s) => {
	const d = await withFiles(s, () => ({ workers: 6 }));
	const ids = [];
	for (const victim of workers(d)) {
		// On each worker some, about which nobody knows.
		const conns = await Promise.all(Array.from({ length: 12 }, () => s.connect(d)));
		await Promise.all(conns.map(async (conn) => {
			const id = `r-${ids.length}`;
			ids.push(id);
			assert.equal((await conn.exchange({ ...chat, headers: { 'x-request-id': id } })).status, 200);
		}));
		// Who waits has nothing more to do for them.
		await until(() => d.processes().find((p) => p.pid === victim).state === 'S', 'the worker waits');
		process.kill(victim, 'SIGKILL');
		await d.waitLog(new RegExp(`\\(pid ${victim}, generation 1\\) was killed by signal 9`));
		conns.forEach((conn) => conn.destroy());
	}
	d.signal('SIGTERM');
	await d.waitExit();
	const times = counted(readFileSync(join(d.dir, 'access'), 'utf8'));
	assert.deepEqual(ids.filter((id) => times.get(id) !== 1), []);
	assert.equal(times.size, ids.length);
});

// Clients that ask one thing after the other until told to stop, on a new connection when theirs was cut.
class Numbered {
	#stopping = false;
	constructor(s, d, n) {
		this.whole = []; // each reply: its id, and whether its connection served another one after it
		this.running = Array.from({ length: n }, (_, i) => this.#client(s, d, i));
	}
	async #client(s, d, i) {
		let conn, last;
		for (let k = 0; !this.#stopping; k++) {
			const id = `c${i}-${k}`;
			try {
				conn ??= await s.connect(d);
				conn.received.length = 0;
				const reply = await conn.exchange({ ...chat, headers: { 'x-request-id': id } });
				assert.equal(reply.status, 200);
				assert.ok(!reply.cut);
				if (last)
					last.followed = true;
				this.whole.push(last = { id, followed: false });
			} catch {
				conn?.destroy();
				conn = last = undefined;
			}
		}
		conn?.destroy();
	}
	async stop() {
		this.#stopping = true;
		await Promise.all(this.running);
	}
}

for (const [where, signal] of [['a file', 'SIGKILL'], ['a file', 'SIGABRT'], ['a pipe', 'SIGKILL']])
	scenario(`workers killed under load with ${signal}, the access log in ${where}: each reply has one line`, async (s) => {
		const d = s.command({});
		const out = where === 'a pipe' ? pipe(s, d.dir, 'fifo') : undefined;
		let text = '';
		const take = () => (text += out ? out.take() : '');
		d.writeConfig({ workers: 10, providers: { echo: { ...echo, echo: { interval: 0 } } },
			access_log: { file: out?.path ?? join(d.dir, 'access'), format: 'json' } });
		await d.start();
		const load = s.keep(new Numbered(s, d, 20));
		for (const victim of workers(d).slice(1)) {
			const goal = load.whole.length + 60;
			await until(() => take() !== null && load.whole.length >= goal, 'they are served');
			process.kill(victim, signal);
		}
		await load.stop();
		take();
		d.signal('SIGTERM');
		await d.waitExit();
		take();
		const times = counted(out ? text : readFileSync(join(d.dir, 'access'), 'utf8'));
		// Between a reply's last byte and its line a worker may die: of each connection the last one only.
		const sure = load.whole.filter((r) => r.followed);
		assert.ok(sure.length > 400, `${sure.length} replies`);
		assert.deepEqual(sure.filter(({ id }) => times.get(id) !== 1), []);
		assert.deepEqual([...times].filter(([, n]) => n !== 1), [], 'no line is there twice');
	});

scenario('a file that cannot be reopened leaves the old one in use', async (s) => {
	const d = await withFiles(s, (dir) => {
		execFileSync('mkdir', [join(dir, 'logs')]);
		return { access_log: { file: join(dir, 'logs', 'access'), format: 'json' } };
	});
	renameSync(join(d.dir, 'logs'), join(d.dir, 'moved'));
	d.signal('SIGUSR1');
	await d.waitLog(/error master\[\d+\]: cannot reopen \S+\/logs\/access: No such file or directory; the old file stays\n/);
	await s.request(d, chat);
	await until(() => lines(readFileSync(join(d.dir, 'moved', 'access'), 'utf8')).length === 1, 'the line is in the old one');
	assert.ok(!existsSync(join(d.dir, 'logs')));
});

// Requests go on while the access log is stuck; all that did not fit is counted and told.
async function stuck(s, d, out) {
	const total = 400;
	let slowest = 0;
	const conns = await Promise.all(Array.from({ length: 4 }, () => s.connect(d)));
	await Promise.all(conns.map(async (conn) => {
		for (let i = 0; i < total / conns.length; i++) {
			const start = Date.now();
			assert.equal((await conn.exchange(chat)).status, 200);
			slowest = Math.max(slowest, Date.now() - start);
		}
	}));
	assert.ok(slowest < 1000, `a request took ${slowest} ms`);
	await d.waitLog(/warn worker \d\[\d+\]: \d+ lines of the access log were lost\n/);
	d.signal('SIGTERM');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	const told = [...d.log.matchAll(/: (\d+) lines of the access log were lost/g)].reduce((sum, [, n]) => sum + Number(n), 0);
	const written = lines(out.take());
	for (const line of written)
		assert.equal(JSON.parse(line).status, 200, 'whole lines only');
	assert.ok(told > 0);
	assert.equal(written.length + told, total, `${written.length} lines were written, ${told} told as lost`);
}

scenario('an access log that is a pipe which nobody reads blocks nobody', async (s) => {
	const d = s.command({});
	const out = pipe(s, d.dir, 'fifo');
	d.writeConfig({ workers: 2, providers: { echo }, access_log: { file: out.path, format: 'json' } });
	await d.start();
	await stuck(s, d, out);
});

scenario('the same for standard output, whose flags stay as they were', async (s) => {
	const dir = s.temporaryDirectory();
	const out = pipe(s, dir, 'fifo');
	const blocking = openSync(out.path, constants.O_WRONLY);
	s.keep({ stop: () => closeSync(blocking) });
	const d = s.command({ workers: 2, providers: { echo } }, { output: blocking });
	await d.start();
	const flags = parseInt(readFileSync(`/proc/self/fdinfo/${blocking}`, 'utf8').match(/flags:\s+(\d+)/)[1], 8);
	assert.equal(flags & constants.O_NONBLOCK, 0, 'the description is shared with whoever started the daemon');
	await stuck(s, d, out);
});

scenario('a log that is a full pipe blocks nobody, and tells of its losses when it is read again', async (s) => {
	const d = await s.daemon({ providers: { echo } });
	const out = pipe(s, d.dir, 'fifo');
	d.writeConfig({ providers: { echo }, log: { file: out.path } });
	d.signal('SIGHUP');
	let said = '';
	await until(() => (said += out.take()).includes('ready: 1 workers, generation 2'), 'the pipe has the log');
	await until(() => d.children().length === 1, 'the old worker has gone');
	out.take();
	out.fill();
	for (let i = 0; i < 3; i++) {
		d.signal('SIGTTOU');
		await new Promise((resolve) => setTimeout(resolve, 50));
		assert.equal((await s.request(d, chat)).status, 200);
	}
	assert.match(out.take(), /^\n*$/);
	d.signal('SIGTTOU');
	said = '';
	await until(() => (said += out.take()).includes('TTOU'), 'the log is written again');
	const [first, second] = lines(said);
	assert.match(first, new RegExp(`^${TIME} warn master\\[${d.pid}\\]: \\d+ log lines were lost$`));
	assert.ok(Number(first.match(/(\d+) log/)[1]) >= 3, first);
	assert.match(second, /TTOU: the number of workers stays 1/);
});

scenario('the log in JSON and the access log as text', async (s) => {
	const d = await s.daemon({ providers: { echo }, log: { format: 'json', level: 'debug' }, access_log: { format: 'text' } });
	const agent = 'an "agent" \\ with\ttab';
	await s.request(d, { ...chat, headers: { 'User-Agent': agent, 'Referer': 'http://example.org/', Connection: 'close' } });
	await until(() => lines(d.stdout).length === 1, 'the line is there');
	const [line] = lines(d.stdout);
	const match = line.match(/^127\.0\.0\.1 - - \[(\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000)\] "POST \/v1\/chat\/completions HTTP\/1\.1" 200 (\d+) "http:\/\/example\.org\/" "((?:[^"\\]|\\.)*)" (.*)$/);
	assert.ok(match, line);
	assert.equal(match[3], 'an \\"agent\\" \\\\ with\\ttab');
	const rest = Object.fromEntries(match[4].match(/\w+=(?:"(?:[^"\\]|\\.)*"|\S+)/g).map((pair) => pair.split(/=(.*)/s, 2)));
	assert.equal(rest.provider, 'echo');
	assert.equal(rest.end, 'complete');
	assert.equal(rest.worker, String(workers(d)[0]));
	d.signal('SIGTERM');
	await d.waitExit();
	for (const text of lines(d.log)) {
		const said = JSON.parse(text);
		assert.deepEqual(Object.keys(said), ['time', 'level', 'process', 'pid', 'message']);
		assert.match(said.time, new RegExp(`^${TIME}$`));
		assert.match(said.process, /^(master|worker 0)$/);
	}
	assert.ok(lines(d.log).some((text) => JSON.parse(text).message === 'TERM: ending now'));
});
