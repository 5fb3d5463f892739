// options: the command line: what each option prints, where, and with which status.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scenario, until } from '../lib/scenario.mjs';
import { freePort } from '../lib/port.mjs';

const ECHO = { providers: { echo: { dialect: 'echo', models: ['echo'] } } };

scenario('-V names the version and the libraries, -h the usage, both with status 0', async (s) => {
	const d = s.command(null);
	const version = await d.run('-V');
	assert.equal(version.code, 0);
	assert.match(version.stdout, /^api-router \d+\.\d+\.\d+/);
	assert.match(version.stdout, /OpenSSL 3/);
	assert.match(version.stdout, /^libconfig \d+\.\d+/m);
	assert.match(version.stdout, /^libseccomp \d+\.\d+/m);
	assert.match(version.stdout, /^zlib \d+\.\d+/m);
	assert.equal(version.stderr, '');
	const help = await d.run('-h');
	assert.equal(help.code, 0);
	assert.match(help.stdout, /api-router \[-DtTVh\] \[-c file\] \[-p port\] \[-s word\]/);
	for (const letter of 'cDpstTVh')
		assert.match(help.stdout, new RegExp(`-[DtTVh]*${letter}\\b`), `-${letter} is explained`);
	assert.equal(help.stderr, '');
});

scenario('a wrong use is status 64 and says how it is used', async (s) => {
	const d = s.command(ECHO);
	for (const args of [['-x'], ['-c'], ['-p', '70000'], ['-p', 'http'], ['-p', '-1'], ['-s', 'restart'], ['operand']]) {
		const run = await d.runBare(...args);
		assert.equal(run.code, 64, `${args.join(' ')}: ${run.output}`);
		assert.match(run.stderr, /usage: api-router/, args.join(' '));
		assert.equal(run.stdout, '', args.join(' '));
	}
	for (const args of [['--help'], ['-t', '--version']])
		assert.match((await d.runBare(...args)).stderr, new RegExp(`options have one letter: not ${args.at(-1)}\n`));
	assert.match((await d.runBare('-s', 'restart')).stderr, /stop[^]*quit[^]*reload[^]*reopen/);
});

scenario('-t says ok to a good file', async (s) => {
	const d = s.command(ECHO);
	const run = await d.run('-t');
	assert.equal(run.output, `api-router: ${d.configFile}: ok\n`);
	assert.equal(run.code, 0);
	assert.ok(!existsSync(join(d.dir, 'pid')), 'nothing was started');
});

scenario('-t tells every error with its line and ends with 78', async (s) => {
	const d = s.command([
		'worker = 2;',
		'timeouts: { connect = 0; };',
		'limits: { headers = "many"; };',
		'providers: {',
		'  p: { dialect = "openai"; base_url = "ftp://example.org"; };',
		'};',
		'routes = ( { model = "*"; provider = "q"; } );',
		'',
	].join('\n'));
	const run = await d.run('-t');
	assert.equal(run.code, 78, run.output);
	const lines = run.output.split('\n').filter((l) => l.includes('api-router.conf:'));
	const at = (n) => lines.filter((l) => l.includes(`${d.configFile}:${n}: `));
	assert.match(at(1).join(), /worker\b.*workers/);
	assert.ok(at(2).some((l) => l.endsWith('timeouts.connect must be 0.1 to 3600 seconds, not 0')), run.output);
	assert.match(at(3).join(), /limits\.headers/);
	assert.match(at(5).join(), /base_url/);
	assert.match(at(7).join(), /q/);
	assert.ok(!run.output.includes(': ok'));
});

scenario('-t refuses a pid_file that no start could write, and warns of a base_url with a path too much', async (s) => {
	const d = s.command({ ...ECHO, pid_file: '/nonexistent/run/x.pid' });
	const refused = await d.run('-t');
	assert.equal(refused.code, 78, refused.output);
	assert.match(refused.stderr,
		/api-router\.conf:\d+: pid_file is in a directory that does not exist: mkdir \/nonexistent\/run\/\n/);
	d.writeConfig({ providers: { p: { dialect: 'anthropic', base_url: 'https://api.example.org/v1', models: ['m'] } } });
	const warned = await d.run('-t');
	assert.equal(warned.code, 0, warned.output);
	assert.equal(warned.stderr.match(/base_url ends in \/v1: the paths are added to it, leave \/v1 out\n/g)?.length, 1,
		warned.stderr);
	assert.match(warned.stderr, /: ok\n$/);
	d.writeConfig({ providers: { p: { dialect: 'ollama', base_url: 'http://127.0.0.1:11434/api', models: ['m'] } } });
	assert.match((await d.run('-t')).stderr, /base_url ends in \/api: the paths are added to it, leave \/api out\n/);
});

scenario('a syntax error is told with the line where it is', async (s) => {
	const cases = [
		['workers = 1\npid_file = "";\n', 1],
		['workers = 1;\npid_file = "";\nlisten = (;\n', 3],
		['providers: {\n  echo: { dialect = "echo";\n', 2],
		['pid_file = "x;\nworkers = 1;\n', 1],
	];
	for (const [text, line] of cases) {
		const d = s.command(text);
		const run = await d.run('-t');
		assert.equal(run.code, 78, text);
		assert.match(run.output, new RegExp(`api-router\\.conf:${line}: `), `${text}: ${run.output}`);
	}
});

scenario('a file that is not there is status 78 and is named', async (s) => {
	const d = s.command(null);
	for (const args of [['-t'], ['-T'], []]) {
		const run = await d.runBare('-c', '/nonexistent/api-router.conf', ...args);
		assert.equal(run.code, 78);
		assert.match(run.stderr, /\/nonexistent\/api-router\.conf.*No such file or directory/);
	}
});

scenario('without -c the file is the one that API_ROUTER_CONFIG_PATH names', async (s) => {
	const d = s.command(ECHO);
	d.env.API_ROUTER_CONFIG_PATH = d.configFile;
	const run = await d.runBare('-t');
	assert.equal(run.output, `api-router: ${d.configFile}: ok\n`);
	assert.equal(run.code, 0);
});

scenario('-T prints every default, no secret, and what it prints loads to the same again', async (s) => {
	const d = s.command({
		providers: {
			p: { dialect: 'openai', base_url: 'https://api.example.org/v1', api_key: 'sk-very-secret-1', models: ['m'] },
			q: { dialect: 'anthropic', base_url: 'https://api.example.org', api_key: 'env:SOME_KEY', models: ['n'] },
			r: { dialect: 'gemini', base_url: 'https://api.example.org', endpoints: [{ path: '/v1/messages' }], model_options: [{ sampling: false }] },
		},
	}, { env: { SOME_KEY: 'sk-very-secret-2' } });
	const first = await d.run('-T');
	assert.equal(first.code, 0, first.output);
	assert.ok(!first.output.includes('sk-very-secret'), 'a secret was printed');
	assert.match(first.stdout, /\*\*\*/);
	for (const name of ['keep_alive', 'header_bytes', 'heartbeat', 'first_byte', 'json_depth', 'verify', 'unsupported', 'forced_tools'])
		assert.match(first.stdout, new RegExp(`\\b${name}\\b`), `${name} is filled in`);
	d.writeConfig(first.stdout);
	const second = await d.run('-T');
	assert.equal(second.code, 0, second.output);
	assert.equal(second.stdout, first.stdout);
});

scenario('-p takes the place of the port of the first listener', async (s) => {
	const port = await freePort();
	const d = s.command({ ...ECHO, listen: [{ address: '127.0.0.1', port: 0 }, { address: '127.0.0.1', port: 0 }] },
		{ args: ['-p', String(port)] });
	await d.start();
	assert.equal(d.listeners.length, 2);
	assert.equal(d.port, port);
	assert.notEqual(d.listeners[1].port, port);
	const reply = await s.request(d, { path: '/' });
	assert.equal(reply.status, 200);
	assert.match(reply.text, /^api-router \d+\.\d+\.\d+/);
});

scenario('an address that is taken is status 1 and is named', async (s) => {
	const taken = await s.peer();
	const d = s.command({ ...ECHO, listen: [{ address: '127.0.0.1', port: taken.port }] });
	const run = await d.run();
	assert.equal(run.code, 1, run.output);
	assert.match(run.stderr, new RegExp(`127\\.0\\.0\\.1.*${taken.port}.*Address already in use`));
	assert.deepEqual(d.survivors(), []);
});

scenario('-s without a running master is status 1 and says so', async (s) => {
	const d = s.command(ECHO);
	for (const word of ['stop', 'quit', 'reload', 'reopen']) {
		const run = await d.run('-s', word);
		assert.equal(run.code, 1, word);
		assert.match(run.stderr, new RegExp(join(d.dir, 'pid')), word);
	}
	// A pid file without its lock is left over: whoever has that number now is no business of ours.
	writeFileSync(join(d.dir, 'pid'), `${process.pid}\n`);
	const run = await d.run('-s', 'stop');
	assert.equal(run.code, 1, run.output);
});

scenario('-s quit ends a running master, also when the rest of its file is broken', async (s) => {
	const d = await s.daemon(ECHO);
	const text = readFileSync(d.configFile, 'utf8');
	assert.equal(readFileSync(join(d.dir, 'pid'), 'utf8').trim(), String(d.pid));
	d.writeConfig(`${text}\nworkers = "several";\nlisten = 3;\n`);
	const run = await d.run('-s', 'quit');
	assert.equal(run.code, 0, run.output);
	assert.deepEqual(await d.waitExit(), { code: 0, signal: null });
	assert.ok(!existsSync(join(d.dir, 'pid')), 'the pid file is gone');
});

scenario('-s reload: the new file is served; a broken one changes nothing and is told with its line', async (s) => {
	const d = await s.daemon(ECHO);
	const ids = async () => (await s.request(d, { path: '/v1/models' })).json.data.map((m) => m.id);
	assert.deepEqual(await ids(), ['echo']);
	d.writeConfig({ providers: { echo: { dialect: 'echo', models: ['echo', 'second'] } } });
	assert.equal((await d.run('-s', 'reload')).code, 0);
	await until(async () => (await ids()).length === 2, 'the new model is listed');
	const before = d.log.length;
	d.writeConfig(`pid_file = "${join(d.dir, 'pid')}";\nworker = 1;\n`);
	assert.equal((await d.run('-s', 'reload')).code, 0);
	await d.waitLog(/api-router\.conf:2: .*worker\b/, { after: before });
	assert.deepEqual(await ids(), ['echo', 'second']);
});

scenario('-D: the parent ends with 0 when the workers serve, and -s stop ends them', async (s) => {
	const d = s.command({
		...ECHO,
		listen: [{ address: '127.0.0.1', port: await freePort() }],
		log: { file: 'DIR/log' }, access_log: { file: 'DIR/access', format: 'json' },
	});
	d.writeConfig(d.config.replaceAll('DIR', d.dir));
	const run = await d.run('-D');
	assert.equal(run.code, 0, run.output);
	const pid = Number(readFileSync(join(d.dir, 'pid'), 'utf8'));
	await d.adopt(pid);
	const port = Number(d.config.match(/port = (\d+)/)[1]);
	assert.equal((await s.request(port, { path: '/health' })).status, 200);
	assert.match(readFileSync(join(d.dir, 'log'), 'utf8'), /ready:/);

	const again = await d.run('-D');
	assert.equal(again.code, 1, again.output);
	assert.match(again.stderr, new RegExp(`${pid}|already`), 'the one that runs is named');
	assert.equal((await s.request(port, { path: '/health' })).status, 200);

	assert.equal((await d.run('-s', 'stop')).code, 0);
	await until(() => d.survivors().length === 0, 'all processes have ended');
});

scenario('-D: what keeps it from starting is told on stderr by the parent', async (s) => {
	const taken = await s.peer();
	const d = s.command({
		...ECHO,
		listen: [{ address: '127.0.0.1', port: taken.port }],
		log: { file: 'DIR/log' }, access_log: { file: 'off' },
	});
	d.writeConfig(d.config.replaceAll('DIR', d.dir));
	const run = await d.run('-D');
	assert.equal(run.code, 1, run.output);
	assert.match(run.stderr, /Address already in use/);
	d.writeConfig({ ...ECHO, log: { file: 'stderr' } });
	const log = await d.run('-D');
	assert.equal(log.code, 78, log.output);
	assert.match(log.stderr, /log\.file/);
});

scenario('a secret in a file that others can read is warned about, and is not shown', async (s) => {
	const d = s.command({});
	const file = join(d.dir, 'key');
	mkdirSync(join(d.dir, 'x'));
	writeFileSync(file, '  sk-from-a-file \n second line\n');
	chmodSync(file, 0o644);
	d.writeConfig({ providers: { p: { dialect: 'openai', base_url: 'https://api.example.org/v1', api_key: `file:${file}`, models: ['m'] } } });
	const open = await d.run('-t');
	assert.equal(open.code, 0, open.output);
	assert.match(open.stderr, /key: .*can be read by/);
	assert.ok(!open.output.includes('sk-from-a-file'));
	chmodSync(file, 0o600);
	assert.equal((await d.run('-t')).output, `api-router: ${d.configFile}: ok\n`);
});
