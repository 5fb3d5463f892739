// secrets: where keys must not be found: in logs, in what anybody sees of the processes, in what -T and errors say, in
// shared memory, and in a core of a worker, whatever it has been doing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { binary } from '../lib/daemon.mjs';
import { certificates, reply, streamHead } from '../lib/peer.mjs';
import { resolvers, where, workers } from '../lib/processes.mjs';

const CHAT = '/v1/chat/completions', MESSAGES = '/v1/messages';
// The same daemon, but that it may leave cores (made by `make check-system`).
const WITH_CORES = join(dirname(binary), 'cores', 'api-router');

const sanitized = /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') && 'a sanitizer keeps what was freed';
const ownMemory = sanitized || (underValgrind && 'valgrind has memory of its own');
const notRoot = process.getuid() !== 0 && 'this is for root';
const gdb = (() => {
	try {
		return !execFileSync('gdb', ['--version'], { stdio: 'pipe' }).length;
	} catch {
		return 'there is no gdb';
	}
})();

const secret = (name) => `${name}-${randomBytes(20).toString('hex')}`;
const body = (model, stream = false) => ({ model, stream, max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] });
const bearer = (key) => ({ Authorization: `Bearer ${key}` });

// A key as a program has it in memory: its text, and as OpenSSL keeps the number.
function keyFile(path) {
	const pem = readFileSync(path, 'latin1');
	const d = Buffer.from(createPrivateKey(pem).export({ format: 'jwk' }).d, 'base64url');
	return { 'key file, text': pem.split('\n')[1], 'key file, number': d, 'key file, words': Buffer.from(d).reverse() };
}

// A daemon with a secret of each kind, and peers that do with its requests what a test says by the model's name.
async function house(s, options = {}) {
	const h = { secrets: {}, held: [] };
	for (const name of ['literal', 'variable', 'file', 'header', 'secure', 'alice', 'bob', 'own', 'stranger'])
		h.secrets[name] = secret(name);
	const dir = s.temporaryDirectory(), file = join(dir, 'key');
	writeFileSync(file, `${h.secrets.file}\n`, { mode: 0o600 });
	const answer = (request, conn) => {
		const asked = JSON.parse(request.body);
		if (asked.model.endsWith('held')) { // for good, or after its first event
			h.held.push(conn);
			return asked.stream ? `${streamHead()}d\r\ndata: {"a":1}\r\n` : null;
		}
		if (asked.stream)
			return `${streamHead()}${['data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n', 'data: [DONE]\n\n']
				.map((e) => `${e.length.toString(16)}\r\n${e}\r\n`).join('')}0\r\n\r\n`;
		if (asked.model.startsWith('refused'))
			return reply({ status: 401, body: { error: { message: `no such key: ${request.headers.authorization}` } } });
		return reply({ body: { choices: [{ message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }] } });
	};
	h.plain = await s.peer();
	h.tls = await s.peer({ tls: true });
	h.plain.serve(answer);
	h.tls.serve(answer);
	const { caFile, client } = certificates();
	h.secrets = { ...h.secrets, ...keyFile(client.keyFile) };
	const models = (name) => ['', '-held'].map((end) => name + end);
	const openai = (name, more) => ({ dialect: 'openai', base_url: `${h.plain.url}/v1`, models: models(name), ...more });
	h.config = {
		log: { level: 'debug' },
		clients: {
			alice: { key: `sha256:${createHash('sha256').update(h.secrets.alice).digest('hex')}` },
			bob: { key: 'env:BOB' },
		},
		providers: {
			literal: openai('literal', { api_key: h.secrets.literal, models: [...models('literal'), 'refused'] }),
			variable: openai('variable', { api_key: 'env:VARIABLE' }),
			file: openai('file', { api_key: `file:${file}` }),
			header: openai('header', { headers: { 'X-Api-Token': h.secrets.header } }),
			secure: openai('secure', { base_url: `${h.tls.url}/v1`, api_key: h.secrets.secure,
				tls: { ca_file: caFile, certificate_file: client.certFile, key_file: client.keyFile } }),
			passed: openai('passed', { credential: 'client' }),
			'passed-secure': openai('passed-secure', { base_url: `${h.tls.url}/v1`, credential: 'client', tls: { ca_file: caFile } }),
			named: { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['named'], api_key: h.secrets.literal },
		},
	};
	h.env = { VARIABLE: h.secrets.variable, BOB: h.secrets.bob };
	h.d = await s.daemon(h.config, { env: h.env, ...options });
	return h;
}
const NAMES = ['literal', 'variable', 'file', 'header', 'secure', 'passed', 'passed-secure'];
const credentials = (h, name) => ({ ...bearer(h.secrets.alice), ...(name.startsWith('passed') ? { 'x-api-key': h.secrets.own } : {}) });

// Requests of every kind that have ended, well or not: so many.
const ENDED = NAMES.length * 4 + 4;
async function finished(s, h) {
	for (const name of NAMES)
		for (const [path, stream] of [[CHAT, false], [CHAT, true], [MESSAGES, false], [MESSAGES, true]]) {
			const r = await s.request(h.d, { path, headers: { Connection: 'close', ...credentials(h, name) }, json: body(name, stream) });
			assert.equal(r.status, 200, `${name} ${path} ${r.body}`);
		}
	assert.equal((await s.request(h.d, { path: CHAT, headers: bearer(h.secrets.bob), json: body('literal') })).status, 200);
	assert.equal((await s.request(h.d, { path: CHAT, headers: bearer(h.secrets.stranger), json: body('literal') })).status, 401);
	assert.equal((await s.request(h.d, { path: CHAT, headers: bearer(h.secrets.alice), json: body('refused') })).status, 502);
	assert.equal((await s.request(h.d, { path: `${CHAT}?key=${h.secrets.alice}`, headers: bearer(h.secrets.alice), json: body('literal') })).status, 400);
	const received = Buffer.concat([h.plain, h.tls].flatMap((p) => p.connections.flatMap((c) => c.received))).toString('latin1');
	for (const name of ['literal', 'variable', 'file', 'header', 'secure', 'own'])
		assert.ok(received.includes(h.secrets[name]), `a provider got ${name}`);
}
// Requests of every kind that are under way.
async function underWay(s, h) {
	let n = h.held.length;
	for (const name of NAMES)
		for (const [path, stream] of [[CHAT, false], [CHAT, true], [MESSAGES, true]]) {
			const conn = await s.connect(h.d);
			await conn.request({ path, headers: credentials(h, name), json: body(`${name}-held`, stream) });
			n++;
		}
	await until(() => h.held.length === n, 'all are with the provider');
	const head = `POST ${CHAT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${h.secrets.alice}\r\nContent-Type: application/json\r\n`;
	const cut = ['', 'Content-Length: 900\r\n\r\n{"model":"literal", "messages": [', 'Content-Length: 5000000\r\n\r\n{"model":"literal", "messages": ['];
	for (const rest of cut)
		await (await s.connect(h.d)).send(head + rest);
	await until(() => workers(h.d).length === 1, 'one worker');
}

const processes = (h) => [h.d.pid, ...workers(h.d), ...resolvers(h.d)];
function assertNone(h, bytes, what) {
	for (const [name, text] of Object.entries(h.secrets))
		assert.ok(!bytes.includes(text), `${what} holds a secret: ${name}`);
}
// What a core would have, as the kernel says itself.
function assertExcluded(h, when) {
	for (const pid of processes(h))
		for (const m of where(pid, ...Object.values(h.secrets))) {
			const names = Object.keys(h.secrets).filter((name) => m.texts.includes(h.secrets[name]));
			assert.equal(m.access[3], 'p', `${when}: ${names} stand in shared memory ${m.name}`);
			assert.ok(m.flags.includes('dd'), `${when}: ${names} stand in ${m.access} ${m.name}, which is dumped`);
		}
}

scenario('no secret stands in logs, in what /proc shows to others, in shared memory or where a core would have it', async (s) => {
	const h = await house(s);
	await finished(s, h);
	assertExcluded(h, 'after requests');
	await underWay(s, h);
	assertExcluded(h, 'under way');
	assert.ok(workers(h.d).some((pid) => where(pid, h.secrets.alice).length > 0), 'it is found where it is');
	h.d.signal('SIGHUP');
	await h.d.waitLog(/ready: 1 workers, generation 2\n/);
	await finished(s, h);
	assertExcluded(h, 'after a reload');
	for (const pid of processes(h)) {
		assertNone(h, readFileSync(`/proc/${pid}/environ`), `the environment of ${pid}`);
		assertNone(h, readFileSync(`/proc/${pid}/cmdline`), `the command line of ${pid}`);
	}
	assert.match(h.d.log, / debug worker 0/);
	assertNone(h, h.d.log, 'the log');
	assertNone(h, await h.d.logged(2 * ENDED), 'the access log');
	const metrics = await s.request(h.d, { path: '/metrics', method: 'GET' });
	assertNone(h, metrics.raw ?? metrics.body, 'what is counted');
	for (const conn of h.held)
		conn.destroy();
}, { skip: notRoot || ownMemory, ms: 60000 });

scenario('no secret stands in what -t and -T say, whatever is wrong', async (s) => {
	const secrets = { key: secret('key'), header: secret('header'), alice: secret('alice') };
	const h = { secrets };
	const named = { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['m'] };
	const good = { providers: { p: { ...named, api_key: secrets.key, headers: { Authorization: secrets.header }, endpoints: [{ path: CHAT, headers: { 'X-Api-Key': secrets.header } }] } } };
	const d = s.command(good);
	const printed = await d.run('-T');
	assert.equal(printed.code, 0);
	assertNone(h, printed.output, '-T');
	assert.equal(printed.stdout.match(/"\*\*\*"/g).length, 3);
	const provider = (more) => ({ providers: { p: { ...named, ...more } } });
	const text = (line) => `providers: { p: {\nbase_url = "http://localhost:9/v1";\n${line}\n}; };\n`;
	const broken = [
		provider({ api_key: `${secrets.key}\n` }), provider({ apikey: secrets.key }), provider({ api_key: [secrets.key] }),
		provider({ api_key: { literal: secrets.key } }), provider({ headers: [secrets.header] }), provider({ headers: `Authorization: ${secrets.header}` }),
		provider({ headers: { Host: secrets.header } }), provider({ headers: { 'X-Api-Key': `${secrets.header}\n` } }), provider({ headers: { A: [secrets.header] } }),
		provider({ headers: [{ name: 'Authorization', value: secrets.header, valeu: secrets.header }] }), provider({ endpoints: [{ path: '/no', headers: { A: secrets.header } }] }),
		{ ...good, clients: { alice: { key: secrets.alice } } }, { ...good, clients: { alice: secrets.alice } }, { ...good, clients: [secrets.alice] },
		{ ...good, clients: { alice: { key: `sha256:${secrets.alice}` } } }, { ...good, clients: secrets.alice },
		text(`api_key = ${secrets.key};`), text(`api_key = "${secrets.key};`), text(`api_key "${secrets.key}";`), text(`api_key = "${secrets.key}" "${secrets.key}\\n";`),
		text(`api_key: "${secrets.key}" workers = 1;`), text(`${secrets.key};`), text(`"${secrets.key}";`), text(`9${secrets.key};`), text(`api_key = 9${secrets.key};`),
		text(`headers: { Authorization: Bearer ${secrets.header} };`), text(`headers: { Authorization = 9${secrets.header} };`), text(`headers: { ${secrets.header} };`),
		text(`base_url = "https://user:${secrets.key}@localhost/";`).replace(/^base_url = "http:.*\n/m, ''),
		text(`apikey = 9${secrets.key};`), text(`model_map = ( { from = "a"; to = "b"; api_key = "${secrets.key}"; } );`),
	];
	for (const config of broken) {
		d.writeConfig(config);
		const run = await d.run('-t');
		assert.equal(run.code, 78, `it was taken:\n${d.config}`);
		assert.match(run.stderr, /api-router\.conf:\d+: ./);
		assertNone(h, run.output, `what is said of\n${d.config}`);
	}
});

// A core, made by gdb, which leaves out what the kernel would.
function core(s, pid, all = false) {
	const file = join(s.temporaryDirectory(), 'core');
	execFileSync('gdb', ['-nx', '-batch', '-iex', 'set auto-load off', '-p', String(pid), '-ex', 'set use-coredump-filter on',
		'-ex', `set dump-excluded-mappings ${all ? 'on' : 'off'}`, '-ex', `gcore ${file}`], { stdio: 'pipe', env: { ...process.env, DEBUGINFOD_URLS: '' } });
	return readFileSync(file);
}

scenario('a core of a worker, idle or not, holds no secret', async (s) => {
	const h = await house(s, { binary: WITH_CORES });
	const [worker] = workers(h.d);
	await finished(s, h);
	assertNone(h, core(s, worker), 'the core of an idle worker');
	await underWay(s, h);
	const busy = core(s, worker);
	assertNone(h, busy, 'the core of a busy worker');
	assert.ok(busy.includes('passed-secure'), 'it is a core of it');
	const whole = core(s, worker, true);
	for (const [name, text] of Object.entries(h.secrets))
		if (!['stranger', 'key file, text', 'key file, number', 'bob'].includes(name))
			assert.ok(whole.includes(text), `it does have ${name}, where it is left out on purpose`);
	assertNone(h, core(s, h.d.pid), 'the core of the master');
	for (const conn of h.held)
		conn.destroy();
}, { skip: notRoot || ownMemory || gdb || (!existsSync(WITH_CORES) && `there is no ${WITH_CORES}: make ${WITH_CORES}`), ms: 120000 });

const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim();

for (const [name, path, wanted] of [['with CORES', WITH_CORES, true], ['without CORES', binary, false]])
	scenario(`a worker that is killed ${name} leaves ${wanted ? 'a core without secrets' : 'none'}`, async (s) => {
		const h = await house(s, { binary: path, under: ['sh', '-c', 'ulimit -c unlimited && exec "$@"', 'sh'] });
		await finished(s, h);
		await underWay(s, h);
		const [worker] = workers(h.d);
		process.kill(worker, 'SIGABRT');
		await h.d.waitLog(new RegExp(`worker 0 \\(pid ${worker}, generation 1\\) was killed by signal 6 `));
		const cores = readdirSync(h.d.dir).filter((f) => f.startsWith('core'));
		assert.equal(cores.length, wanted ? 1 : 0);
		for (const file of cores)
			assertNone(h, readFileSync(join(h.d.dir, file)), 'the core');
	}, { skip: notRoot || ownMemory || (!/^core[.%\w]*$/.test(pattern) && `cores go to ${pattern}`) || (!existsSync(path) && `there is no ${path}`), ms: 60000 });
