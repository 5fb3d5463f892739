// privilege: what workers and resolver may still do, and what their memory holds of the configuration.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { binary } from '../lib/daemon.mjs';
import { resolvers, status, where, workers } from '../lib/processes.mjs';

const echo = { dialect: 'echo', models: ['echo'] };
const named = { dialect: 'openai', base_url: 'http://localhost:9/v1', models: ['named'] };
const config = (workers, more = {}) => ({ workers, providers: { echo, named }, ...more });
const chat = { path: '/v1/chat/completions', json: { model: 'echo', messages: [{ role: 'user', content: 'hello' }] } };
const ownMemory = (process.getuid() !== 0 && 'this is for root') || (/\bsan/.test(process.env.API_ROUTER_BUILD ?? '') && 'a sanitizer keeps what was freed') ||
	(underValgrind && 'valgrind has memory of its own');
const watched = (/\bsan/.test(process.env.API_ROUTER_BUILD ?? '') && 'sanitizers make calls of their own') || (underValgrind && 'valgrind makes calls of its own');
const noGdb = spawnSync('gdb', ['--version']).status !== 0 && 'there is no gdb';
const notRoot = process.getuid() !== 0 && 'this is for root';

scenario('workers and resolver are unprivileged when the daemon was started as root', async (s) => {
	const d = await s.daemon(config(2, { user: 'nobody' }));
	assert.equal(status(d.pid, 'Uid').split('\t')[0], '0', 'the master stays root');
	assert.match(d.log, /info master\[\d+\]: workers run as user nobody\n/);
	for (const pid of [...workers(d), ...resolvers(d)]) {
		for (const id of ['Uid', 'Gid']) {
			const [real, effective, saved, files] = status(pid, id).split('\t');
			assert.notEqual(real, '0');
			assert.deepEqual([effective, saved, files], [real, real, real]);
		}
		assert.equal(status(pid, 'NoNewPrivs'), '1');
		for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
			assert.match(status(pid, set), /^0+$/, set);
		assert.ok(!status(pid, 'Groups').split(' ').includes('0'), 'root\'s groups are gone');
	}
}, { skip: notRoot });

scenario('workers are confined, unless the configuration says otherwise', async (s) => {
	const d = await s.daemon(config(2));
	for (const pid of [d.pid, ...resolvers(d)])
		assert.equal(status(pid, 'Seccomp'), '0');
	const confined = workers(d);
	for (const pid of confined)
		assert.equal(status(pid, 'Seccomp'), '2');
	d.writeConfig(config(2, { seccomp: false }));
	d.signal('SIGHUP');
	await until(() => workers(d).length === 2 && !workers(d).some((pid) => confined.includes(pid)), 'the next generation', 15000);
	const free = workers(d);
	for (const pid of free)
		assert.equal(status(pid, 'Seccomp'), '0');
	assert.equal((await s.request(d, chat)).status, 200);
	d.writeConfig(config(1, { seccomp: true }));
	d.signal('SIGHUP');
	await until(() => workers(d).length === 1 && !free.includes(workers(d)[0]), 'the one after it', 15000);
	assert.equal(status(workers(d)[0], 'Seccomp'), '2');
	assert.ok(!d.log.includes('seccomp'), 'nothing to be said');
}, { skip: watched });

scenario('a worker that makes a call of its own is killed, told of and replaced', async (s) => {
	const d = await s.daemon(config(1));
	const [worker] = workers(d);
	// It is made to, as by an attacker: the program has no such call.
	spawnSync('gdb', ['-nx', '-batch', '-iex', 'set auto-load off', '-p', String(worker), '-ex', 'call (int)getppid()'],
		{ stdio: 'pipe', env: { ...process.env, DEBUGINFOD_URLS: '' } });
	await d.waitLog(new RegExp(`error master\\[\\d+\\]: worker 0 \\(pid ${worker}, generation 1\\) was killed by signal 31 \\(Bad system call, forbidden by seccomp\\) after [\\d.]+ s\n`));
	await until(() => workers(d).length === 1 && workers(d)[0] !== worker, 'it is replaced', 10000);
	assert.equal((await s.request(d, chat)).status, 200);
}, { skip: watched || notRoot || noGdb });

scenario('a worker that aborts says so, not that it was forbidden to', async (s) => {
	const d = await s.daemon(config(1));
	const [worker] = workers(d);
	spawnSync('gdb', ['-nx', '-batch', '-iex', 'set auto-load off', '-p', String(worker), '-ex', 'handle SIGABRT nostop pass', '-ex', 'call (void)abort()'],
		{ stdio: 'pipe', env: { ...process.env, DEBUGINFOD_URLS: '' } });
	await d.waitLog(new RegExp(`worker 0 \\(pid ${worker}, generation 1\\) was killed by signal 6 \\(Aborted\\)`));
}, { skip: watched || notRoot || noGdb });

scenario('what a service manager lends to the master does not reach its children', async (s) => {
	const lend = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=+net_bind_service', '--ambient-caps=+net_bind_service'];
	const dir = s.temporaryDirectory(), copy = join(dir, 'api-router');
	chmodSync(dir, 0o755); // the master is nobody, and the build may be in a private place
	copyFileSync(binary, copy);
	const d = await s.daemon(config(2), { under: lend, binary: copy });
	assert.equal(status(d.pid, 'CapAmb'), '0000000000000400', 'the master has it');
	for (const pid of [...workers(d), ...resolvers(d)]) {
		for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
			assert.match(status(pid, set), /^0+$/, set);
	}
}, { skip: notRoot || underValgrind && 'valgrind would be lent to' });

for (const umask of ['000', '077'])
	scenario(`files have their own modes, whatever the caller's umask is: ${umask}`, async (s) => {
		const dir = s.temporaryDirectory();
		const log = join(dir, 'log');
		const d = await s.daemon(config(1, { log: { level: 'debug' }, access_log: { file: log } }), { under: ['sh', '-c', `umask ${umask}; exec "$@"`, 'sh'] });
		const mode = (path) => (statSync(path).mode & 0o777).toString(8);
		assert.equal(mode(log), '640');
		assert.equal(mode(join(d.dir, 'pid')), '644');
		const umasks = d.processes().map(({ pid }) => status(pid, 'Umask')).filter(Boolean); // who has ended has none
		assert.ok(umasks.length >= 3 && umasks.every((mask) => mask === '0027'), umasks.join(' '));
	}, { skip: underValgrind && 'it runs under valgrind' });

scenario('root\'s own account is an error of the configuration', async (s) => {
	const d = s.command(config(1, { user: 'root' }));
	const { code, stderr } = await d.run();
	assert.equal(code, 78);
	assert.match(stderr, /^\S+api-router\.conf:\d+: user must be an account of other rights than root's, not "root", which has uid 0: /);
}, { skip: notRoot });

scenario('the configuration cannot be written in any process, and keys are nowhere else and in no dump', async (s) => {
	const [key, fromEnvironment] = ['literal-key-5f1c7a90', 'environment-key-77d1e3b2'];
	const d = await s.daemon(config(1, { providers: {
		echo,
		named: { ...named, api_key: key, headers: { 'X-Mark': 'a-mark-2c9e41d7' } },
		third: { ...named, models: ['third'], api_key: 'env:THE_KEY' },
	} }), { env: { THE_KEY: fromEnvironment } });
	let last;
	for (let generation = 1; generation <= 2; generation++) {
		await until(() => workers(d).length === 1 && workers(d)[0] !== last, 'only this generation is there', 15000);
		[last] = workers(d);
		assert.equal((await s.request(d, chat)).status, 200);
		for (const pid of [d.pid, ...workers(d)]) {
			for (const text of [key, 'a-mark-2c9e41d7']) {
				assert.ok(where(pid, text).length > 0, 'there is a sealed configuration');
				for (const m of where(pid, text)) {
					assert.ok(m.access.startsWith('r--'), `${text} stands in a mapping ${m.access} ${m.name}`);
					assert.ok(m.flags.includes('dd'), 'which is not dumped');
				}
			}
			for (const m of where(pid, fromEnvironment)) {
				assert.equal(m.name, '', `the value stands in ${m.name}`);
				assert.ok(m.flags.includes('dd'), `a mapping ${m.access} with it is dumped`);
			}
			assert.ok(where(pid, fromEnvironment).length > 0);
		}
		if (generation === 1) {
			d.signal('SIGHUP');
			await d.waitLog(/ready: 1 workers, generation 2\n/);
		}
	}
}, { skip: ownMemory });

// Each fails at another step of the reading. The text comes last in some: what was read before it is freed, too.
const failing = {
	'a name that is not known': (text) => ({ providers: { echo, named: { ...named, apikey: text } } }),
	'a value out of range, found after the key': (text) => ({ providers: { echo, named: { ...named, api_key: text, max_tokens: 0 } } }),
	'a header beside another error': (text) => ({ providers: { echo, named: { ...named, headers: { Authorization: text }, dialect: 'none' } } }),
	'a key where its hash should be': (text) => ({ clients: { alice: { key: text } }, providers: { echo } }),
	'a certificate that is not there': (text) => ({ providers: { echo, named: { ...named, base_url: 'https://localhost:9/v1', api_key: text, tls: { ca_file: '/nonexistent/ca.pem' } } } }),
	'a log that cannot be opened': (text) => ({ log: { file: '/proc/api-router.log' }, providers: { echo, named: { ...named, api_key: text } } }),
	'syntax': (text) => `providers: { named: { api_key = "${text}"; base_url = ; }; };`,
	'an open string': (text) => `providers: { named: { api_key = "${text}; }; };\n`,
};

scenario('of a configuration that could not be loaded nothing stays in memory', async (s) => {
	const d = await s.daemon(config(1));
	let n = 0;
	for (const [how, make] of Object.entries(failing)) {
		const text = `literal-${n++}-9b1f40c7d2e8`, after = d.log.length, made = make(text);
		d.writeConfig(typeof made === 'string' ? made : config(1, made));
		d.signal('SIGHUP');
		await d.waitLog(/reload failed: generation 1 stays in service\n/, { after });
		for (const m of where(d.pid, text))
			assert.fail(`${how}: the text stands in a mapping ${m.access} ${m.name}`);
		assert.ok(!d.log.includes(text), `${how}: the log shows it`);
	}
	d.writeConfig(config(1));
}, { skip: ownMemory });
