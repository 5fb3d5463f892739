// mistakes: what an administrator does wrong on the first days, and the whole message that each is answered with: the
// file, the line, the value and what helps. By -t, by a start in the foreground and, of some, in the background and by a
// reload, which all say the same.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { binary } from '../lib/daemon.mjs';
import { scenario, underValgrind } from '../lib/scenario.mjs';

const ECHO = 'providers: { echo: { dialect = "echo"; models = ( "echo" ); }; };';
const openai = (inside) => `providers: { openai: { base_url = "https://api.openai.com/v1";\n\t${inside}\n}; };`;
const KEY = `sha256:${'0123456789abcdef'.repeat(4)}`;
const notRoot = process.getuid() !== 0 && 'this is for root';
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

// What is wrong, the lines of the file (DIR is its directory), and the messages that -t and a start give, each
// "LINE: TEXT" ("TEXT" for one without a line).
const wrongFiles = [
	['a typo in the name of a group', ['timeout: { connect = 5; };', ECHO],
		'1: timeout is unknown: did you mean timeouts?'],
	['a typo in a name inside a group', ['limits: {', '\tconections = 500;', '};', ECHO],
		'2: limits.conections is unknown: did you mean connections?'],
	['a typo in the name of what a provider needs', ['providers: { openai: {', '\tbase_ulr = "https://api.openai.com/v1";', '}; };'],
		'2: providers.openai.base_ulr is unknown: did you mean base_url?'],
	['a typo in the name of what TLS needs', ['listen = (', '\t{ tls: { certificat_file = "text"; }; }', ');', ECHO],
		'2: listen[0].tls.certificat_file is unknown: did you mean certificate_file?'],
	['a name that is something else elsewhere', ['listen = (', '\t{ bind = "127.0.0.1"; }', ');', ECHO],
		/^2: listen\[0\]\.bind is unknown: nearest is \w+, of address, port, admin/],
	['text for a number', ['workers = "4";', ECHO],
		'1: workers must be "auto" or 1 to 256, not "4"'],
	['no worker at all', ['workers = 0;', ECHO],
		'1: workers must be "auto" or 1 to 256, not 0'],
	['a number out of range', ['listen = ( { port = 80800; } );', ECHO],
		'1: listen[0].port must be 0 to 65535, not 80800'],
	['a time in milliseconds', ['timeouts: { connect = 5000; };', ECHO],
		'1: timeouts.connect must be 0.1 to 3600 seconds, not 5000'],
	['a time with a unit', ['timeouts: { connect = 10s; };', ECHO],
		'1: connect: 10s is not a number (sizes are bytes, times are seconds, without a unit)'],
	['a time with a unit, in quotes', ['timeouts: { connect = "10s"; };', ECHO],
		'1: timeouts.connect must be 0.1 to 3600 seconds, not "10s"'],
	['a size with a unit', ['limits: { body_bytes = 32M; };', ECHO],
		'1: body_bytes: 32M is not a number (sizes are bytes, times are seconds, without a unit)'],
	['yes for true', ['open = yes;', ECHO],
		'1: open: write true or false, or text in double quotes, not yes'],
	['a number for a flag', ['open = 1;', ECHO],
		'1: open must be true or false, not 1'],
	['text without quotes', [ECHO, 'routes = ( { model = gpt-4o; provider = "echo"; } );'],
		'2: model: text must stand in double quotes, like "gpt-4o"'],
	['a missing semicolon', ['workers = 2', ECHO],
		'1: a ; is missing after workers'],
	['a brace that is not closed', ['log: {', '\tlevel = "info";', '', ECHO],
		'1: this { is never closed'],
	['a comma behind the last element', [ECHO, 'routes = (', '\t{ model = "a"; provider = "echo"; },', ');'],
		'3: a comma stands behind the last element of a list'],
	['a group for a list', ['listen: { port = 8080; };', ECHO],
		'1: listen must be a list ( ... ), not a group'],
	['a setting twice', ['workers = 2;', 'workers = 4;', ECHO],
		'2: workers stands twice in this group (first on line 1)'],
	['an included file that is not there', [ECHO, '@include "routes.conf"'],
		'2: @include: cannot read DIR/routes.conf: No such file or directory'],
	['a pattern of files to include', ['@include "conf.d/*.conf"', ECHO],
		'1: @include: cannot read DIR/conf.d/*.conf: No such file or directory; a * is no pattern here: name each file'],
	['no provider', ['workers = 2;'],
		'one provider at least is needed, like providers: { echo: { dialect = "echo"; models = ( "echo" ); }; };'],
	['a route to a provider by a wrong name', [ECHO, 'routes = ( { model = "*"; provider = "ecko"; } );'],
		'2: routes[0].provider is "ecko", which providers does not have: did you mean echo?'],
	['a route to a provider that is not there', [ECHO, 'routes = ( { model = "*"; provider = "openai"; } );'],
		'2: routes[0].provider is "openai", which providers does not have: add it there, or name one that it has'],
	['an unknown dialect', [openai('dialect = "claude";')],
		'2: providers.openai.dialect must be "openai", "anthropic", "gemini", "cohere", "ollama" or "echo", not "claude"'],
	['a base_url without its scheme', ['providers: { openai: {', '\tbase_url = "api.openai.com/v1";', '}; };'],
		'2: providers.openai.base_url must begin with https:// or http:// (it is "api.openai.com/v1")'],
	['a CA file that is not there', [openai('tls: { ca_file = "ca.pem"; };')],
		'2: providers.openai.tls.ca_file cannot be read: DIR/ca.pem: No such file or directory'],
	['a CA file that is no PEM', [openai('tls: { ca_file = "text"; };')],
		'2: providers.openai.tls cannot be used: cannot load the CA file DIR/text: it holds none in PEM (-----BEGIN ...)'],
	['a certificate that is no PEM', [openai('tls: { certificate_file = "text"; key_file = "text"; };')],
		'2: providers.openai.tls cannot be used: cannot load the certificate DIR/text: it holds none in PEM (-----BEGIN ...)'],
	['a file of a key that is not there', [openai('api_key = "file:/nonexistent/key";')],
		'2: providers.openai.api_key cannot be had: cannot read /nonexistent/key: No such file or directory'],
	['a header value of two lines', [openai('headers: { X-Team = "one\\ntwo"; };')],
		'2: providers.openai.headers.X-Team holds a control character or a broken one: write UTF-8, in one line'],
	['an account that does not exist', ['user = "nobody-of-that-name";', ECHO],
		'1: user is "nobody-of-that-name", an account that does not exist: useradd --system makes one', notRoot],
	['a log in a directory that does not exist', ['log: { file = "/nonexistent/log/router.log"; };', ECHO],
		'1: log.file is in a directory that does not exist: mkdir /nonexistent/log/'],
	['a log by a name that could be a word', ['log: { file = "router.log"; };', ECHO],
		'1: log.file must be "stderr", "syslog" or a path with a / in it, not "router.log"'],
	['a level by the name that syslog gives it', ['log: { level = "warning"; };', ECHO],
		'1: log.level must be "error", "warn", "info" or "debug", not "warning"'],
	['a pid file in a directory that does not exist', ['pid_file = "/nonexistent/run/x.pid";', ECHO],
		'1: pid_file is in a directory that does not exist: mkdir /nonexistent/run/'],
	['a name for an address', ['listen = ( { address = "localhost"; } );', ECHO],
		/^1: listen\[0\]\.address must be a numeric address, like "127\.0\.0\.1" or "::1", .*not "localhost"$/],
	['two listeners on one address', ['listen = (', '\t{ port = 8080; },', '\t{ port = 8080; }', ');', ECHO],
		'3: listen[1] is in the way of listen[0]: both take port 8080 of "127.0.0.1"; give one another port'],
	['a unix socket with a path that is too long', [`listen = ( { address = "unix:/${'a'.repeat(120)}"; } );`, ECHO],
		`1: listen[0].address has a path of 121 bytes, but the path of a unix socket is 107 at most: "/${'a'.repeat(120)}"`],
	['TLS without a certificate', ['listen = (', '\t{ tls: { }; }', ');', ECHO],
		'2: listen[0].tls needs a certificate_file, a PEM file with the certificate of this server'],
	['a certificate of a listener that is not there', ['listen = (', '\t{ tls: { certificate_file = "router.pem"; }; }', ');', ECHO],
		'2: listen[0].tls.certificate_file cannot be read: DIR/router.pem: No such file or directory'],
	['a certificate of a listener that is none', ['listen = (', '\t{ tls: { certificate_file = "text"; }; }', ');', ECHO],
		'2: listen[0].tls.certificate_file is not a certificate: DIR/text: there is no -----BEGIN CERTIFICATE----- in it'],
	['a listener for everyone', ['listen = (', '\t{ address = "0.0.0.0"; }', ');', ECHO],
		'2: listen[0] admits everyone who can reach "0.0.0.0": name clients (api-router -k NAME makes a key), or, if that is meant, say open = true;'],
	['a key in the place of its hash', ['clients: {', '\tsupport: { key = "ar-0123456789abcdef"; };', '};', ECHO],
		'2: clients.support.key must be "sha256:...", the hash of a key as api-router -k support makes it, or "env:NAME" or "file:/path", where the key itself is'],
	['a hash that was cut', ['clients: {', `\tsupport: { key = "${KEY.slice(0, -1)}"; };`, '};', ECHO],
		'2: clients.support.key must have 64 hexadecimal digits behind sha256:, not 63: api-router -k support prints such a line'],
	['the key of another client', ['clients: {', `\ta: { key = "${KEY}"; };`, `\tb: { key = "${KEY}"; };`, '};', ECHO],
		'3: clients.b.key is the key of "a", too: api-router -k b makes another'],
];

// The message of a run: its lines, but for the directory.
const said = (d, run) => run.stderr.replaceAll(d.dir, 'DIR').split('\n').slice(0, -1);
function agrees(d, text, message) {
	const prefix = 'DIR/api-router.conf:';
	assert.ok(text.startsWith(prefix), text);
	const rest = text.slice(prefix.length).trimStart();
	if (message instanceof RegExp)
		assert.match(rest, message);
	else
		assert.equal(rest, message);
}
function withFile(s, lines, options) {
	const d = s.command('', options);
	writeFileSync(join(d.dir, 'text'), 'This is no certificate.\n');
	d.writeConfig(`${lines.join('\n').replaceAll('DIR', d.dir)}\n`);
	return d;
}

for (const [what, lines, message, skip] of wrongFiles) {
	scenario(`${what} is told by -t and by a start, with status 78`, async (s) => {
		const d = withFile(s, lines);
		for (const args of [['-t'], []]) {
			const run = await d.run(...args);
			assert.equal(run.code, 78, run.output);
			assert.equal(run.stdout, '');
			const all = said(d, run);
			assert.equal(all.length, 1, run.output);
			agrees(d, all[0], message);
		}
	}, { skip });
}

scenario('-D tells the same, and so does the log at a reload', async (s) => {
	const running = await s.daemon({ providers: { echo: { dialect: 'echo', models: ['echo'] } } });
	for (const what of ['a typo in a name inside a group', 'a missing semicolon', 'a CA file that is no PEM', 'the key of another client']) {
		const [, lines, message] = wrongFiles.find(([name]) => name === what);
		const d = withFile(s, lines);
		const run = await d.run('-D');
		assert.equal(run.code, 78, run.output);
		agrees(d, said(d, run).join('\n'), message);
		writeFileSync(join(running.dir, 'text'), 'This is no certificate.\n');
		const before = running.log.length;
		running.writeConfig(`${lines.join('\n')}\n`);
		running.signal('SIGHUP');
		await running.waitLog(/reload failed: generation 1 stays in service\n/, { after: before });
		const [, line] = running.log.slice(before).match(/ error master\[\d+\]: (.*api-router\.conf.*)\n/);
		agrees(running, line.replaceAll(running.dir, 'DIR'), message);
	}
	assert.equal((await s.request(running, { path: '/health' })).status, 200);
});

// What only a start can find: the file and the line stand there all the same, and the status is 1.
async function cannotStart(s, lines, message, options) {
	const d = withFile(s, ['pid_file = "";', ...lines], options);
	assert.equal((await d.run('-t')).code, 0, 'nothing is wrong with the file itself');
	const run = await d.run();
	assert.equal(run.code, 1, run.output);
	assert.deepEqual(said(d, run), [`DIR/api-router.conf:${message}`]);
	assert.deepEqual(d.survivors(), []);
}

scenario('a port in use is told with the line of its listener, and how to find who has it', async (s) => {
	const taken = await s.peer();
	const lines = ['listen = (', '\t{ port = 0; },', `\t{ port = ${taken.port}; }`, ');', ECHO];
	const message = `4: listen[1]: cannot listen on 127.0.0.1:${taken.port}: Address already in use; another process listens there (ss -ltnp names it): stop it, or take another port`;
	await cannotStart(s, lines, message);
	const d = withFile(s, [...lines, 'pid_file = "DIR/pid";', 'log: { file = "DIR/log"; };', 'access_log: { file = "off"; };']);
	const run = await d.run('-D');
	assert.equal(run.code, 1, run.output);
	agrees(d, said(d, run).join('\n'), message.replace(/^4/, '3'));
});

scenario('the address of another machine is told as that', (s) => cannotStart(s,
	['open = true;', 'listen = (', '\t{ address = "192.0.2.1"; }', ');', ECHO],
	'4: listen[0]: cannot listen on 192.0.2.1:8000: Cannot assign requested address; this machine has no such address (ip address lists those that it has)'));

scenario('a file in the place of a unix socket is told as that', (s) => cannotStart(s,
	['listen = (', '\t{ address = "unix:DIR/text"; }', ');', ECHO],
	'3: listen[0]: cannot listen on unix:DIR/text: a file that is no socket is in its place'));

scenario('a log that is a directory is told as that', (s) => cannotStart(s, ['log: { file = "/tmp/"; };', ECHO],
	'2: log.file: cannot open /tmp/: Is a directory; name a file in it'));

// The port that only root may have: 0 when everyone may have all of them.
const least = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'latin1'));
const others = { skip: notRoot || (underValgrind && 'valgrind cannot be run as another user there') || notForNobody() };

function notForNobody() {
	try {
		execFileSync(NOBODY[0], [...NOBODY.slice(1), binary, '-V'], { stdio: 'ignore' });
		return false;
	} catch {
		return 'another user cannot run this build';
	}
}

scenario('what only root may do is told to another user with the line and what it takes', async (s) => {
	const as = { under: NOBODY };
	if (least > 80)
		await cannotStart(s, ['listen = ( { port = 80; } );', ECHO],
			'2: listen[0]: cannot listen on 127.0.0.1:80: Permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE', as);
	await cannotStart(s, ['listen = ( { port = 0; } );', 'log: { file = "/etc/router.log"; };', ECHO],
		'3: log.file: cannot open /etc/router.log: Permission denied; whoever starts api-router must be able to write it', as);
	const d = withFile(s, ['listen = ( { port = 0; } );', 'pid_file = "/etc/router.pid";', ECHO], as);
	const run = await d.run();
	assert.equal(run.code, 1, run.output);
	assert.deepEqual(said(d, run), ['DIR/api-router.conf:2: pid_file: cannot write /etc/router.pid: Permission denied; name a file that this user can write, or "" for none']);
}, others);

scenario('a file that this user must not read is told with the line that names it', async (s) => {
	const as = { under: NOBODY };
	const d = withFile(s, ['workers = 1;', openai('api_key = "file:DIR/secret";')], as);
	writeFileSync(join(d.dir, 'secret'), 'sk-of-root\n', { mode: 0o600 });
	for (const args of [['-t'], []]) {
		const run = await d.run(...args);
		assert.equal(run.code, 78, run.output);
		assert.deepEqual(said(d, run), ['DIR/api-router.conf:3: providers.openai.api_key cannot be had: cannot read DIR/secret: Permission denied']);
	}
	d.writeConfig(`${openai('tls: { certificate_file = "text"; key_file = "secret"; };')}\n`);
	const tls = await d.run('-t');
	assert.equal(tls.code, 78, tls.output);
	assert.deepEqual(said(d, tls)[0], 'DIR/api-router.conf:2: providers.openai.tls.key_file cannot be read: DIR/secret: Permission denied');
	chmodSync(d.configFile, 0o600);
	const whole = await d.run('-t');
	assert.equal(whole.code, 78, whole.output);
	assert.deepEqual(said(d, whole), ['DIR/api-router.conf: cannot read the configuration: Permission denied; run as its owner or as root']);
}, others);

scenario('a key that belongs to another certificate is told as that', async (s) => {
	const d = withFile(s, [openai('tls: { certificate_file = "a.pem"; key_file = "b.key"; };')]);
	for (const name of ['a', 'b'])
		execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`,
			'-keyout', join(d.dir, `${name}.key`), '-out', join(d.dir, `${name}.pem`)], { stdio: 'ignore' });
	const run = await d.run('-t');
	assert.equal(run.code, 78, run.output);
	assert.deepEqual(said(d, run), ['DIR/api-router.conf:2: providers.openai.tls cannot be used: cannot use the key DIR/b.key: it is the key of another certificate']);
	d.writeConfig(`listen = (\n\t{ tls: { certificate_file = "a.pem"; key_file = "b.key"; }; }\n);\n${ECHO}\n`);
	const listener = await d.run('-t');
	assert.equal(listener.code, 78, listener.output);
	assert.deepEqual(said(d, listener), ['DIR/api-router.conf:2: listen[0].tls.key_file does not belong to the certificate of certificate_file: DIR/b.key: its public key is another']);
});

scenario('a key that is not set is no error, and is told by -t, at the start and at a reload', async (s) => {
	const config = { providers: {
		openai: { base_url: 'http://127.0.0.1:9/v1', api_key: 'env:OPENAI_API_KEY' },
		lab: { base_url: 'http://127.0.0.1:9/v1', api_key: 'env:LAB_KEY' },
		other: { base_url: 'http://127.0.0.1:9/v1', api_key: 'env:OTHER_KEY' } } };
	const d = await s.daemon(config, { env: { LAB_KEY: 'set' } });
	const message = 'no key yet: openai (env:OPENAI_API_KEY is not set), other (env:OTHER_KEY is not set)';
	const lines = () => d.log.split('\n').filter((line) => line.endsWith(`]: ${message}`)).length;
	assert.equal(lines(), 1, d.log);
	const run = await d.run('-t');
	assert.equal(run.code, 0);
	assert.equal(run.stderr, `api-router: ${d.configFile}: ${message}\napi-router: ${d.configFile}: ok\n`);
	d.signal('SIGHUP');
	await d.waitLog(/ready: 1 workers, generation 2\n/);
	assert.equal(lines(), 2, d.log);
});

scenario('a file that is not there is told with what names another', async (s) => {
	const d = s.command(null);
	const run = await d.runBare('-c', '/nonexistent/x.conf');
	assert.equal(run.code, 78);
	assert.equal(run.stderr, '/nonexistent/x.conf: cannot read the configuration: No such file or directory; the option -c names another\n');
});

scenario('a wrong command line is told in one line, with the synopsis', async (s) => {
	const d = s.command(ECHO);
	const cases = [
		[['-x'], 'unknown option: -x'],
		[['-c'], 'this option needs an argument: -c'],
		[['-p', '80800'], '-p: a port is 1 to 65535, not 80800'],
		[['start'], 'unexpected argument: start'],
		[['-k', ''], '-k: a client\'s name has 1 to 128 bytes and does not begin with -'],
	];
	for (const [args, message] of cases) {
		const run = await d.runBare(...args);
		assert.equal(run.code, 64, run.output);
		assert.equal(run.stderr, `api-router: ${message}\nusage: api-router [-DtTVh] [-c file] [-p port] [-s word]\n` +
			'       api-router -k name\napi-router -h tells more\n');
	}
	const run = await d.runBare('-s', 'restart');
	assert.equal(run.code, 64);
	assert.match(run.stderr, /^api-router: -s: the word is one of stop, quit, reload, reopen(, \w+)*; not restart\nusage: /);
});

scenario('-h fits on a screen and tells the default file, the signals, the statuses and the manuals', async (s) => {
	const { stdout } = await s.command(null).run('-h');
	assert.ok(stdout.split('\n').length <= 40, stdout);
	for (const line of stdout.split('\n'))
		assert.ok(line.length <= 80, line);
	for (const part of [/\/api-router\/api-router\.conf\n/, /API_ROUTER_CONFIG_PATH/, /^ +stop +.*\(TERM\)$/m, /^ +quit +.*\(QUIT\)$/m,
		/^ +reload +.*\(HUP\)$/m, /^ +reopen +.*\(USR1\)$/m, /^ +TTIN +\w/m, /^ +TTOU +\w/m, /\b64\b/, /\b78\b/,
		/api-router\(8\)/, /api-router-signals\(7\)/, /api-router\.conf\(5\)/])
		assert.match(stdout, part);
});
