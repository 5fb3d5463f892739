// operate: what an administrator does to a daemon under load, and the sums that must come out even. The short forms of these runs
// are in system/operate.test.mjs, the long ones in long/.
//
// The load is of two clients: `load`, which has no limit, and `limited`, which asks for twice as much as it may have. Half of all
// requests are streams; half are answered by the echo provider, a quarter each by bench/provider over pools of plain connections and of TLS.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from './client.mjs';
import { binary } from './daemon.mjs';
import { Generator, Repeater } from './generator.mjs';
import { certificates } from './peer.mjs';
import { alive, clientPorts, descriptorCount, descriptors, workers } from './processes.mjs';
import { until } from './scenario.mjs';

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const KEYS = { LOAD_KEY: 'the-key-of-the-load', LIMITED_KEY: 'the-key-of-the-limited-one' };
const PATH = '/v1/chat/completions';

// A daemon and both of its loads, begun. `rate`: requests a second; `streamSeconds`: how long a stream of so many `words` lasts; `nWorkers`;
// `perMinute`, `burst`: of the limited client; `addresses`: of the load; `config`: more of it.
export async function underLoad(s, { rate, streamSeconds, words = 11, nWorkers, perMinute = 1800, burst = 50, addresses, config = {} }) {
	const interval = streamSeconds / (words - 1);
	const repeaters = [false, true].map((tls) => s.keep(new Repeater(Math.round(interval * 1000), tls)));
	const [plain, tls] = await Promise.all(repeaters.map((repeater) => repeater.listening()));
	const openai = (url, models, more) => ({ dialect: 'openai', base_url: url, models, connections: { idle_timeout: 2 }, ...more });
	// Its own copy of the binary, which an upgrade may replace.
	const dir = s.temporaryDirectory();
	const path = join(dir, 'api-router');
	copyFileSync(binary, path);
	const d = await s.daemon({
		workers: nWorkers,
		limits: { connections: 8000 },
		timeouts: { connect: 60 }, // after a reload all handshakes come at once, and the provider is no faster than the machine
		clients: {
			load: { key: 'env:LOAD_KEY' },
			limited: { key: 'env:LIMITED_KEY', rate_limit: { requests_per_minute: perMinute, burst } },
		},
		providers: {
			echo: { dialect: 'echo', models: ['echo'], echo: { interval } },
			plain: openai(plain, ['plain']),
			tls: openai(tls, ['tls'], { tls: { ca_file: certificates().caFile } }),
		},
		...config,
	}, { env: KEYS, binary: path });
	const run = { s, d, repeaters, path, words, nWorkers, perMinute, burst, rate, idle: idleState(d) };
	const models = ['echo', 'plain', 'echo', 'tls'];
	run.load = s.keep(new Generator(d, { rate, addresses, words, models, key: KEYS.LOAD_KEY }));
	run.limited = s.keep(new Generator(d, { rate: perMinute / 30, streams: 0, words, models, key: KEYS.LIMITED_KEY, limited: true }));
	return run;
}

const idleState = (d) => ({ master: descriptorCount(d.pid), worker: Math.max(...workers(d).map(descriptorCount)), n: workers(d).length });

// ---- what is done to it

const ready = (d) => [...d.log.matchAll(/\bready: \d+ workers, generation (\d+)/g)].length;

export async function reload({ d }) {
	const before = ready(d);
	d.signal('SIGHUP');
	await until(() => ready(d) > before, 'the new generation is ready', 60000);
}

const pidFile = (d, more = '') => {
	try {
		return Number(readFileSync(join(d.dir, `pid${more}`), 'utf8'));
	} catch {
		return 0;
	}
};
const isReady = (d, pid) => new RegExp(`master\\[${pid}\\]: ready: `).test(d.log);

async function startNew(run) {
	const { d, path } = run;
	const old = d.pid;
	await until(() => !existsSync(join(d.dir, 'pid.oldbin')), 'no older one is there', 120000);
	copyFileSync(binary, `${path}.new`); // the running one cannot be written to
	renameSync(`${path}.new`, path);
	d.signal('SIGUSR2');
	const pid = await until(() => {
		const now = pidFile(d);
		return now && now !== old && isReady(d, now) && now;
	}, 'the new one is ready', 60000);
	assert.equal(pidFile(d, '.oldbin'), old);
	assert.equal((await ask(run, '/health')).json.status, 'ok');
	d.processes();
	return { old, pid };
}
// To another binary; the old one is told to finish. The pid of the old one.
export async function upgrade(run) {
	const { old, pid } = await startNew(run);
	await run.d.adopt(pid);
	process.kill(old, 'SIGQUIT');
	return old;
}
// To another binary and back.
export async function rollBack(run) {
	const { old, pid } = await startNew(run);
	run.d.processes();
	process.kill(pid, 'SIGQUIT');
	await until(() => !alive(pid), 'the new one has gone', 120000);
	await until(() => pidFile(run.d) === old && !existsSync(join(run.d.dir, 'pid.oldbin')), 'the old one has its pid file again', 10000);
	assert.equal(run.d.pid, old);
}

// Kill workers until told to stop, the one that has lived longest first, none younger than a second: those would come back later.
// A victim is stopped first, so that its connections can be told: { at, pid, ports } of each, in `kills`. With a `pause` of 0 nobody
// is killed but by kill(), and at once: on a machine with many connections it takes long to tell which are whose.
export class Killer {
	#since = new Map();
	#running = true;
	kills = [];

	constructor({ d }, pause) {
		this.d = d;
		this.pause = pause; // ms between two looks
		this.ended = pause ? this.#run() : Promise.resolve();
	}
	async #run() {
		while (this.#running) {
			await wait(this.pause);
			const pids = workers(this.d).filter((pid) => !this.kills.some((kill) => kill.pid === pid));
			const now = Date.now();
			this.#since = new Map(pids.map((pid) => [pid, this.#since.get(pid) ?? now]));
			const pid = pids.find((p) => [...this.#since.values()].every((t) => t >= this.#since.get(p)));
			if (pid && now - this.#since.get(pid) > 1050)
				this.kill(pid);
		}
	}
	kill(pid) {
		let ports;
		if (this.pause) {
			process.kill(pid, 'SIGSTOP');
			ports = clientPorts(pid, this.d.port);
		}
		this.kills.push({ at: Date.now() / 1000, pid, ports });
		process.kill(pid, 'SIGKILL');
	}
	async stop() {
		this.#running = false;
		await this.ended;
	}
	// The kill that this failure is due to.
	of(failure) {
		return this.kills.find(({ at, ports }) =>
			(!ports || ports.has(failure.port)) && failure.sent <= at + 1 && failure.at >= at - 0.005 && failure.at < at + 5);
	}
}

// ---- what must be true at the end

export class Metrics {
	constructor(text) {
		this.text = text;
	}
	// The sum of all series of a name whose labels hold all of these.
	sum(name, labels = {}) {
		const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
		return [...this.text.matchAll(new RegExp(`^api_router_${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'))]
			.filter(([, all = '']) => wanted.every((w) => all.includes(w)))
			.reduce((sum, [, , value]) => sum + Number(value), 0);
	}
}
// A request of the test's own, which leaves nothing behind.
async function ask({ d }, path) {
	const conn = await connect(d);
	const reply = await conn.exchange({ path });
	conn.destroy();
	return reply;
}
export const metrics = async (run) => new Metrics((await ask(run, '/metrics')).text);

// Both loads come to their end, and everything is at rest again: { load, limited, provider, metrics }.
export async function finish(run) {
	const { d } = run;
	const [load, limited] = await Promise.all([run.load.finish(), run.limited.finish()]);
	let m;
	await until(async () => {
		await wait(50);
		m = await metrics(run);
		const at = (side, state) => m.sum('connections', { side, state });
		return m.sum('workers', { state: 'ready' }) === run.nWorkers && m.sum('workers') === run.nWorkers &&
			at('client', 'active') === 1 && at('client', 'idle') === 0 && at('upstream', 'active') === 0 && at('upstream', 'idle') === 0;
	}, 'nothing but the asking connection is counted', 60000).catch((error) => {
		throw new Error(`${error.message}:\n${m.text.match(/^api_router_(workers|connections)\{.*$/gm).join('\n')}`);
	});
	await until(() => workers(d).length === run.nWorkers && descriptorCount(d.pid) === run.idle.master &&
		workers(d).every((pid) => descriptorCount(pid) <= run.idle.worker),
	'every descriptor is given back', 30000).catch((error) => {
		const now = [d.pid, ...workers(d)].map((pid) => JSON.stringify(descriptors(pid)));
		throw new Error(`${error.message}: ${JSON.stringify(run.idle)}, now\n${now.join('\n')}`);
	});
	const provider = { requests: 0, left_early: 0 };
	for (const repeater of run.repeaters) {
		const total = await repeater.finish();
		for (const name in provider)
			provider[name] += total[name];
	}
	return { load, limited, words: run.words, metrics: await metrics(run), provider };
}

// What was counted against what was answered. A worker counts a request in the turn of its loop that sends the end of the reply, after
// sending: so of each worker that is killed a turn may be missing. `turns`: how many may. How many are.
export function assertCounted({ load, limited, words, metrics: m }, { turns = 0 } = {}) {
	const of = (client, status) => m.sum('requests_total', { path: PATH, client, status });
	const missing = [
		['of the load', load.answered, of('load', 200)],
		['of the limited client', limited.answered, of('limited', 200)],
		['refused', limited.refused, of('limited', 429)],
		['refused, as the limits count', limited.refused, m.sum('rate_limited_total', { client: 'limited' })],
		['tokens', (load.tokens + limited.tokens) / (2 * words), m.sum('tokens_total') / (2 * words)],
	].map(([what, answered, counted]) => {
		assert.ok(counted <= answered && answered - counted <= turns, `${what}: ${answered} were answered, ${counted} counted`);
		return answered - counted;
	});
	assert.equal(load.started, load.answered + load.failed);
	assert.equal(limited.started, limited.answered + limited.refused + limited.failed);
	return missing;
}

// The bucket of the limited client was one and the same all the time: it was never full again (upper bound) and never emptied
// (lower one). What failed may have been charged.
export function assertLimited({ perMinute, burst }, { limited }) {
	const most = burst + perMinute / 60 * (limited.to - limited.from);
	const shown = `${limited.answered} admitted, ${limited.refused} refused, ${limited.failed} failed; the limit allows for ${most.toFixed(1)}`;
	assert.ok(limited.answered <= most + 1e-6, shown);
	assert.ok(limited.answered + limited.failed >= most * 0.99 - 2, shown);
	return shown;
}

// Lines of the access log of the requests that are not the router's own.
export async function assertLogged({ d }, { load, limited }) {
	const lines = () => Number(execFileSync('grep', ['-c', `"path":"${PATH}"`, join(d.dir, 'stdout')]));
	const all = load.answered + limited.answered + limited.refused;
	await until(() => lines() === all, 'each has its line').catch(() => assert.equal(lines(), all));
}

export const describe = ({ load, limited, provider }) =>
	`${load.started} requests of the load, ${load.streams} streams whole, ${load.failed} failed ${JSON.stringify(load.failures)}; ` +
	`${load.reused} on kept connections, ${load.closing} told to close, ${load.idle_closed} closed at rest; plain p50 ${load.plain_ms.p50} ms, ` +
	`p99 ${load.plain_ms.p99} ms; the limited: ${limited.answered} admitted, ${limited.refused} refused, ${limited.failed} failed; ` +
	`the providers: ${provider.requests} requests, ${provider.left_early} left early`;
