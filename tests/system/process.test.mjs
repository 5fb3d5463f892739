// process: one worker's death, the daemon's two ways to end, and the death of the master: what each of them costs
// the clients, and what is left behind.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { limit, scenario, underValgrind, until } from '../lib/scenario.mjs';
import { Load, WORDS, streamed } from '../lib/load.mjs';
import { alive, clientPorts, isListening, resolvers, workers } from '../lib/processes.mjs';

const echo = (interval) => ({ dialect: 'echo', models: ['echo'], echo: { interval } });
// A provider that has a name makes the daemon start its resolver.
const named = { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['named'] };
const config = (workers, more = {}) => ({ workers, providers: { echo: echo(0.02), named }, ...more });

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const words = (n) => Array(n).fill('word').join(' ');

// A stream of so many words, begun: { conn, reply }.
async function begin(s, daemon, n, { path = '/v1/chat/completions', ...more } = {}) {
	const conn = await s.connect(daemon);
	await conn.request({ path, ...more,
		json: { model: 'echo', stream: true, max_tokens: 9, messages: [{ role: 'user', content: words(n) }] } });
	const reply = await conn.readHead();
	assert.equal(reply.status, 200);
	await reply.event();
	return { conn, reply };
}
// Read it to its end, which must be the right one, and close the connection: left open, it might wait for one more request.
async function finish({ conn, reply }, n) {
	await reply.finish();
	assert.ok(!reply.cut, 'the stream was cut');
	assert.equal(streamed(reply), words(n));
	conn.destroy();
}
const healthy = async (s, daemon) => (await s.request(daemon, { path: '/health' })).json;

scenario('a killed worker costs its own requests and is replaced within a second', async (s) => {
	const d = await s.daemon(config(3));
	const load = s.keep(new Load(d, { clients: 12 }));
	await wait(limit(1200)); // a worker that dies younger than a second is replaced later
	await load.more(50);
	assert.deepEqual(load.failed, []);
	const before = workers(d);
	// Stopped first, so that nothing changes between the look and the end.
	const victim = before.find((pid) => {
		process.kill(pid, 'SIGSTOP');
		if (clientPorts(pid, d.port).size > 0)
			return true;
		process.kill(pid, 'SIGCONT');
		return false;
	});
	const its = clientPorts(victim, d.port);
	process.kill(victim, 'SIGKILL');
	const killed = Date.now();
	await until(() => workers(d).length === 3 && !workers(d).includes(victim), 'there is another worker');
	await until(async () => (await healthy(s, d)).workers === 3, 'it is ready');
	const took = Date.now() - killed;
	assert.ok(took < limit(1000), `another worker was ready after ${took} ms`);
	await load.more(100);
	await load.stop();
	assert.ok(load.failed.length > 0 && load.failed.length <= its.size, load.report());
	for (const failure of load.failed)
		assert.ok(its.has(failure.port), `a request on another worker failed: ${JSON.stringify(failure)}`);
	const [, n] = await d.waitLog(new RegExp(
		`error master\\[\\d+\\]: worker (\\d) \\(pid ${victim}, generation 1\\) was killed by signal 9 \\(Killed\\) after \\d+\\.\\d{3} s\\n`));
	assert.ok(Number(n) < 3);
	assert.equal(workers(d).filter((pid) => before.includes(pid)).length, 2, 'the others were left alone');
});

scenario('a worker that dies young is replaced later, and later each time', async (s) => {
	const d = await s.daemon(config(1));
	process.kill(workers(d)[0], 'SIGKILL');
	await d.waitLog(/warn master\[\d+\]: worker 0 will be started again in 1 s\n/);
	await until(() => workers(d).length === 1, 'it has come back');
	process.kill(workers(d)[0], 'SIGKILL');
	await d.waitLog(/worker 0 will be started again in 2 s\n/);
	await until(() => workers(d).length === 1, 'it has come back again');
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
}, { skip: underValgrind && 'there a start takes longer than a youth' });

scenario('a worker that is told to quit by hand finishes and is replaced', async (s) => {
	const d = await s.daemon(config(1));
	await wait(limit(1100));
	const [old] = workers(d);
	const stream = await begin(s, d, 30);
	process.kill(old, 'SIGQUIT');
	await finish(stream, 30);
	await d.waitLog(new RegExp(`info master\\[\\d+\\]: worker 0 \\(pid ${old}, generation 1\\) exited with status 0 after `));
	await until(() => workers(d).length === 1 && !alive(old), 'another has come');
	assert.equal((await healthy(s, d)).status, 'ok');
});

scenario('QUIT finishes open streams, says so in /health for a while, and ends with 0', async (s) => {
	const d = await s.daemon(config(3));
	const streams = await Promise.all([150, 120, 100].map((n) => begin(s, d, n)));
	assert.equal((await s.request(d, { path: '/health' })).status, 200);
	d.processes();
	d.signal('SIGQUIT');
	await d.waitLog(/info master\[\d+\]: QUIT: finishing open requests\n/);
	const health = await s.request(d, { path: '/health' });
	assert.equal(health.status, 503);
	assert.equal(health.json.status, 'draining');
	const still = async () => (await s.connect(d)).exchange({ path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'still' }] } });
	assert.equal((await still()).status, 200, 'and new requests are served');
	await until(async () => (await still()).header('connection') === 'close', 'they are the last ones of their connections');
	await until(() => !isListening(d.port), 'the listener has gone');
	assert.equal(d.exit, undefined, 'streams are still open');
	for (const [i, n] of [150, 120, 100].entries())
		await finish(streams[i], n);
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	assert.deepEqual(d.survivors(), []);
	assert.ok(!existsSync(`${d.dir}/pid`), 'the pid file has gone');
	const lines = d.access.filter((l) => l.stream);
	assert.equal(lines.length, 3);
	for (const line of lines)
		assert.equal(line.end, 'complete');
});

scenario('QUIT is bounded by timeouts.drain', async (s) => {
	const d = await s.daemon(config(2, { timeouts: { drain: 1.5 } }));
	const { reply } = await begin(s, d, 5000);
	const start = Date.now();
	d.signal('SIGQUIT');
	await reply.finish();
	assert.equal(JSON.parse(reply.events.at(-1).data).error.message, 'the router is being stopped');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	const took = Date.now() - start;
	assert.ok(took >= 1450 && took < limit(4000), `it took ${took} ms`);
});

scenario('TERM ends streams with the error event of their dialect, and everything within 5 s', async (s) => {
	const d = await s.daemon(config(3));
	const chats = await Promise.all([1, 2, 3, 4].map(() => begin(s, d, 5000)));
	const message = await begin(s, d, 5000, { path: '/v1/messages' });
	const idle = await s.connect(d);
	d.processes();
	const start = Date.now();
	d.signal('SIGTERM');
	for (const { reply } of [...chats, message])
		await reply.finish();
	for (const { reply } of chats) {
		const { error } = JSON.parse(reply.events.at(-1).data);
		assert.equal(error.message, 'the router is being stopped');
		assert.equal(error.type, 'server_error');
		assert.ok(!reply.text.includes('[DONE]'), 'it does not look complete');
	}
	const last = message.reply.events.at(-1);
	assert.equal(last.event, 'error');
	assert.deepEqual(Object.keys(JSON.parse(last.data)).sort(), ['error', 'request_id', 'type']);
	assert.equal(JSON.parse(last.data).error.message, 'the router is being stopped');
	assert.ok(!message.reply.text.includes('message_stop'));
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	assert.ok(Date.now() - start < limit(5000), 'it took less than 5 s');
	assert.deepEqual(d.survivors(), []);
	assert.ok(!isListening(d.port));
	assert.ok(idle.ending ?? (await idle.closed()));
	for (const line of d.access.filter((l) => l.stream))
		assert.notEqual(line.end, 'complete');
	assert.equal(d.access.filter((l) => l.stream).length, 5, 'each has its line');
});

scenario('TERM ends within 5 s though a client does not read and a worker is stopped', async (s) => {
	const d = await s.daemon(config(2, { providers: { echo: echo(0), named } }));
	const deaf = await s.connect(d);
	deaf.pause();
	await deaf.request({ path: '/v1/chat/completions',
		json: { model: 'echo', stream: true, messages: [{ role: 'user', content: words(200000) }] } });
	await wait(200);
	process.kill(workers(d)[0], 'SIGSTOP');
	const start = Date.now();
	d.signal('SIGINT');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	assert.ok(Date.now() - start < limit(5200), `it took ${Date.now() - start} ms`);
	assert.match(d.log, /info master\[\d+\]: INT: ending now\n/);
	assert.match(d.log, /warn master\[\d+\]: children that are still there are killed\n/);
	assert.deepEqual(d.survivors(), []);
});

scenario('TERM while it quits ends it at once', async (s) => {
	const d = await s.daemon(config(2));
	const { reply } = await begin(s, d, 5000);
	d.signal('SIGQUIT');
	await d.waitLog(/QUIT: finishing/);
	d.signal('SIGTERM');
	await reply.finish();
	assert.equal(JSON.parse(reply.events.at(-1).data).error.message, 'the router is being stopped');
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
});

// What must hold whatever came before: nobody is left who listens, what is open finishes, then nobody is left.
async function masterKilled(s, d) {
	const streams = await Promise.all([60, 75, 90].map((n) => begin(s, d, n)));
	const idle = await s.connect(d);
	await idle.exchange({ path: '/health' });
	const all = d.processes().slice(1).map((p) => p.pid);
	assert.equal(all.length, 4, 'three workers and a resolver');
	d.signal('SIGKILL');
	const start = Date.now();
	await until(() => !isListening(d.port), 'nobody listens', 2000);
	for (const [i, n] of [60, 75, 90].entries())
		await finish(streams[i], n);
	const last = await idle.exchange({ path: '/v1/chat/completions',
		json: { model: 'echo', messages: [{ role: 'user', content: WORDS }] } });
	assert.equal(last.status, 200, 'an idle connection has one more request answered');
	assert.equal(last.header('connection'), 'close');
	idle.destroy();
	await until(() => !all.some(alive), 'all processes have ended', 5000);
	assert.ok(Date.now() - start < limit(8000));
	assert.deepEqual(d.survivors(), []);
	await d.waitExit();
	assert.equal(d.log.match(/warn worker \d\[\d+\]: the master is gone: finishing what is open\n/g).length, 3);
	assert.equal(d.exit.signal, 'SIGKILL');
}

scenario('kill -9 of the master leaves no process and no listener, and streams finish', async (s) => {
	await masterKilled(s, await s.daemon(config(3)));
});

scenario('kill -9 of the master after two reloads with three workers', async (s) => {
	const d = await s.daemon(config(3));
	const stream = await begin(s, d, 50); // keeps the first generation there while the others come
	for (const generation of [2, 3]) {
		d.signal('SIGHUP');
		await d.waitLog(new RegExp(`ready: 3 workers, generation ${generation}\n`));
	}
	await finish(stream, 50);
	await until(() => d.children().length === 4, 'the first generations have gone');
	await masterKilled(s, d);
});

scenario('kill -9 of the master while an old generation still serves a stream', async (s) => {
	const d = await s.daemon(config(3));
	const stream = await begin(s, d, 120);
	for (const generation of [2, 3]) {
		d.signal('SIGHUP');
		await d.waitLog(new RegExp(`ready: 3 workers, generation ${generation}\n`));
	}
	const all = d.processes().slice(1).map((p) => p.pid);
	assert.ok(all.length >= 5, 'an old worker is there');
	d.signal('SIGKILL');
	await until(() => !isListening(d.port), 'nobody listens', 2000);
	await until(() => all.filter(alive).length <= 1, 'all but one have ended', 3000);
	await finish(stream, 120);
	await until(() => !all.some(alive), 'all have ended', 3000);
});

scenario('TTIN and TTOU change the number of workers, down to one, and a reload keeps it', async (s) => {
	const d = await s.daemon(config(2));
	d.signal('SIGTTIN');
	await d.waitLog(/info master\[\d+\]: TTIN: workers: 3, were 2\n/);
	await until(async () => (await healthy(s, d)).workers === 3, 'three are ready');
	d.signal('SIGHUP');
	await d.waitLog(/ready: 3 workers, generation 2\n/);
	await until(() => workers(d).length === 3, 'the old ones have gone');
	for (const n of [2, 1]) {
		d.signal('SIGTTOU');
		await d.waitLog(new RegExp(`TTOU: workers: ${n}, were ${n + 1}\n`));
		await until(() => workers(d).length === n, `${n} are left`);
	}
	d.signal('SIGTTOU');
	await d.waitLog(/warn master\[\d+\]: TTOU: the number of workers stays 1, which is the least\n/);
	assert.equal((await healthy(s, d)).workers, 1);
	d.writeConfig(config(2, { limits: { headers: 50 } }));
	d.signal('SIGHUP');
	await d.waitLog(/ready: 1 workers, generation 3\n/);
	d.writeConfig(config(3));
	d.signal('SIGHUP');
	await d.waitLog(/ready: 3 workers, generation 4\n/);
	assert.ok(!/killed|status [1-9]/.test(d.log));
});

scenario('TTOU costs no request, and TTIN after it starts another in the place', async (s) => {
	const d = await s.daemon(config(3));
	const load = s.keep(new Load(d, { clients: 8, pause: 5 }));
	await load.more(20);
	for (let i = 0; i < 3; i++) {
		d.signal('SIGTTOU');
		await d.waitLog(/TTOU: workers: 2, were 3\n/, { after: d.log.lastIndexOf('TTIN') + 1 });
		d.signal('SIGTTIN');
		await d.waitLog(/TTIN: workers: 3, were 2\n/, { after: d.log.lastIndexOf('TTOU') });
		await load.more(60);
	}
	await load.stop();
	assert.deepEqual(load.failed, [], load.report());
	await until(async () => (await healthy(s, d)).workers === 3, 'three are ready');
});

scenario('the resolver is replaced when it dies', async (s) => {
	const d = await s.daemon(config(1));
	await wait(limit(1100));
	const [old] = resolvers(d);
	process.kill(old, 'SIGKILL');
	await d.waitLog(new RegExp(`resolver \\(pid ${old}, generation 1\\) was killed by signal 9`));
	await until(() => resolvers(d).length === 1 && resolvers(d)[0] !== old, 'another has come', 1000);
});
