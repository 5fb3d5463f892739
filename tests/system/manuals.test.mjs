// manuals: the pages and the tables of the source say the same, and the proof of it (tests/lint/manual.mjs) finds every kind of
// fault; every example configuration of the pages is taken by the daemon, and every command in them has options and words that
// it knows.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { check, parse, sourceFiles } from '../lint/manual.mjs';
import { scenario } from '../lib/scenario.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (name) => readFileSync(join(root, name), 'utf8');
const sources = sourceFiles(root);
const pages = readdirSync(join(root, 'man')).sort();

test('the manuals and the tables of the source say the same', () => {
	assert.deepEqual(check(read, sources), []);
});

// A change of one file, and what must be complained of.
const faults = [
	['an option is left out', 'man/api-router.8', /^\.It Fl p Ar port$/m, '.It Ar port', /lacks the option p:/],
	['an option is made up', 'man/api-router.8', /^\.It Fl V$/m, '.It Fl x\nNothing.\n.It Fl V', /has the option x,/],
	['an option is missing in SYNOPSIS', 'man/api-router.8', /^\.Op Fl DhTtV$/m, '.Op Fl DhTt', /lacks in SYNOPSIS the option V/],
	['an option is missing in -h', 'src/process/main.c', /"  -V {7}print[^"]*"/, '""', /the usage and getopt do not agree on -V/],
	['an option is new in the source', 'src/process/main.c', /":c:Dk/, '":c:Dz:k', /lacks the option z:/],
	['a signal is left out', 'man/api-router.8', /^\.It Dv SIGTTIN , SIGTTOU$/m, '.It Dv SIGTTIN', /api-router\.8: lacks in SIGNALS SIGTTOU/],
	['a signal is left out in the page of signals', 'man/api-router-signals.7', /^\.It Dv SIGTTOU$/m, '.It Nothing', /signals\.7: lacks .* SIGTTOU/],
	['a signal is made up', 'man/api-router-signals.7', /^\.It Dv SIGTTOU$/m, '.It Dv SIGTTOU , SIGPWR', /signals\.7: has .* SIGPWR/],
	['a word of -s belongs to another signal', 'man/api-router.8', /^\.Pq Dv SIGHUP$/m, '.Pq Dv SIGUSR1', /lacks the word of -s reload SIGHUP/],
	['a word of -s is new in the source', 'include/process/signal.def', 'SIGNAL(TTIN, "",', 'SIGNAL(TTIN, "grow",', /lacks the word of -s grow SIGTTIN/],
	['an exit status is left out', 'man/api-router.8', /^\.It 64$/m, '.It 65', /lacks the exit status 64/],
	['an exit status is made up', 'man/api-router-signals.7', /^\.It 64$/m, '.It 64\nso\n.It 70', /has the exit status 70/],
	['an environment variable is left out', 'man/api-router.8', /^\.It Ev API_ROUTER_CONFIG_PATH$/m, '.It Ev HOME', /lacks the environment variable API_ROUTER_CONFIG_PATH/],
	['an environment variable is new in the source', 'src/config/conf.c', 'getenv("API_ROUTER_CONFIG_PATH")', 'getenv("API_ROUTER_X")', /lacks the environment variable API_ROUTER_X/],
	['a path is left out', 'man/api-router.8', /^\.Pa \/v1\/moderations ,$/m, '.Pa /v1/other ,', /lacks the path \/v1\/moderations/],
	['a setting is left out', 'man/api-router.conf.5', /^\.It Ic json_depth No .*$/m, '.It json_depth', /lacks the setting limits\.json_depth/],
	['a setting is made up', 'man/api-router.conf.5', /^\.It Ic json_depth No .*$/m, '.It Ic json_width No = Ar number\n1 to 2.\nDefault: 1.\n$&', /has the setting limits\.json_width/],
	['a setting stands in another group', 'man/api-router.conf.5', /^\.It Ic heartbeat No .*$/m, '.It Ic json_depth No = Ar number', /lacks the setting stream\.heartbeat/],
	['a setting of a nested group is left out', 'man/api-router.conf.5', /^\.It Ic idle_timeout No .*$/m, '.It idle_timeout', /lacks the setting providers\.connections\.idle_timeout/],
	['a setting in the text is made up', 'man/api-router.8', /^\.Ic timeouts\.drain \.$/m, '.Ic timeouts.drains .', /names the setting timeouts\.drains/],
	['a setting is new in the source', 'include/config/conf_names.def', 'CONF(LISTEN, port,', 'CONF(LISTEN, backlog, COUNT, backlog, 1, 9, 5, "", ALL)\nCONF(LISTEN, port,', /lacks the setting listen\.backlog/],
	['a default differs', 'man/api-router.conf.5', 'Default: 65536.\n.El\n.El\n.Ss Times', 'Default: 65535.\n.El\n.El\n.Ss Times', /limits\.rate_buckets is 65536 by default, and the page says 65535/],
	['the default of a word differs', 'man/api-router.conf.5', /^\.Cm drop \.$/m, '.Cm reject .', /providers\.unsupported is drop by default, and the page says reject/],
	['the default of a flag differs', 'include/config/conf_names.def', 'CONF(TLS, verify, FLAG, verify, 0, 1, 1,', 'CONF(TLS, verify, FLAG, verify, 0, 1, 0,', /tls\.verify is false by default, and the page says true/],
	['a default is not told', 'man/api-router.conf.5', /^Default: 512\.$/m, '', /limits\.json_depth has no default/],
	['a range differs', 'include/config/conf_names.def', 'limits.headers, 8, 1000,', 'limits.headers, 8, 2000,', /limits\.headers is 8 to 2000, and the page says 8 to 1000/],
	['a word of a setting is left out', 'man/api-router.conf.5', /^\.Cm signal ,$/m, 'the signal,', /reload lacks its word signal|reload is signal by default/],
	['a word of a setting is made up', 'man/api-router.conf.5', /^\.Cm client-or-provider ,$/m, '.Cm client-or-provider , both ,', /providers\.credential has the word both/],
	['a metric is left out', 'man/api-router.8', /^\.It Cm heartbeats_total$/m, '.It heartbeats_total', /lacks the metric heartbeats_total/],
	['a metric is made up', 'man/api-router.8', /^\.It Cm heartbeats_total$/m, '.It Cm heartbreaks_total\nSo.\n$&', /has the metric heartbreaks_total/],
	['a metric in the text is made up', 'man/api-router.conf.5', /^\.Cm rate_limit_evictions_total$/m, '.Cm rate_limit_losses_total', /names the metric rate_limit_losses_total/],
	['a label is left out', 'man/api-router.8', /^\.It Cm closes_total Brq side , reason$/m, '.It Cm closes_total Brq side', /of closes_total the label reason/],
	['a label is made up', 'man/api-router.8', /^\.It Cm rate_limited_total Brq path , client$/m, '$& , model', /has of rate_limited_total the label model/],
	['a label is new in the source', 'include/report/metric.def', 'HEARTBEATS, "heartbeats_total", COUNTER, 0', 'HEARTBEATS, "heartbeats_total", COUNTER, LABEL_PATH', /of heartbeats_total the label path/],
	['a kind of failure is left out', 'man/api-router.8', /^\.Cm redirect ,$/m, 'redirect,', /lacks the kind of failure redirect/],
	['the word of a counter is left out', 'man/api-router.8', /^\.Cm watchdog ,$/m, 'watchdog,', /of worker_exits_total the word watchdog/],
	['a reason is left out', 'man/api-router.8', /^\.It Cm evicted$/m, '.It evicted', /lacks the reason evicted/],
	['a reason is new in the source', 'include/report/close_reason.def', 'CLOSE(DRAIN,', 'CLOSE(WHIM, "whim")\nCLOSE(DRAIN,', /lacks the reason whim/],
	['a field of the access log is left out', 'man/api-router.8', /^\.It Cm latency_ms$/m, '.It latency_ms', /lacks the field of the access log latency_ms/],
	['a field of the access log is made up', 'man/api-router.8', /^\.It Cm latency_ms$/m, '.It Cm latency_ms , delay_ms', /has the field of the access log delay_ms/],
	['an end is left out', 'man/api-router.8', /^\.Cm client_gone ,$/m, 'client_gone,', /lacks the end client_gone/],
	['a level is left out', 'src/base/log.c', '"alert", LOG_ALERT', '"panic", LOG_ALERT', /lacks the level panic/],
	['a message is no longer said', 'man/api-router.8', /^\.It "FILE has changed"$/m, '.It "FILE was touched"', /has the message "FILE was touched"/],
	['a section is referred to that is none', 'man/api-router.8', /^\.Sx METRICS \.$/m, '.Sx COUNTERS .', /refers to the section COUNTERS/],
	['a page is not named by another', 'man/api-router.conf.5', '.Xr api-router-signals 7 ,\n', '', /conf\.5: does not name api-router-signals\.7 under SEE ALSO/],
];
for (const [what, file, from, to, complaint] of faults) {
	test(`the proof sees when ${what}`, () => {
		const changed = read(file).replace(from, to);
		assert.notEqual(changed, read(file), 'something was changed');
		const complaints = check((name) => (name === file ? changed : read(name)), sources);
		assert.ok(complaints.some((text) => complaint.test(text)), complaints.join('\n') || 'nothing is complained of');
	});
}

const has = (command) => {
	try {
		return Boolean(execFileSync('sh', ['-c', `command -v ${command}`]));
	} catch {
		return false;
	}
};
test('mandoc has nothing to say about the pages', { skip: !has('mandoc') && 'there is no mandoc' }, () => {
	for (const page of pages)
		assert.equal(execFileSync('sh', ['-c', `mandoc -Tlint -Wwarning man/${page} || :`], { cwd: root, encoding: 'utf8' }), '', page);
});

// ---- displays

// Those between .Bd -literal and .Ed: { page, line, section, text }.
function displays(page) {
	const found = [];
	for (const { title, lines } of parse(read(`man/${page}`)))
		for (const [, text] of `${lines.join('\n')}\n`.matchAll(/^\.Bd -literal.*\n([^]*?)^\.Ed$/gm))
			found.push({ page, section: title, text: text.replace(/\\e/g, '\\').replace(/\\&/g, '') });
	return found;
}
const all = pages.flatMap(displays);
const isCommands = ({ text }) => /^[$#] /.test(text);
const examples = all.filter((display) => !isCommands(display) && display.page.endsWith('.5') && display.section === 'EXAMPLES');

// An example made whole: hashes that are shortened, the providers of the first where it has none, and below `dir` the files that
// it names: keys, certificates, and directories of others.
function complete(dir, text) {
	const here = (path) => join(dir, 'root', path);
	const make = (path, what) => {
		mkdirSync(dirname(here(path)), { recursive: true });
		writeFileSync(here(path), what, { mode: 0o600 });
	};
	const pem = () => execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=example',
		'-days', '2', '-keyout', '-', '-out', '-'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
	let both;
	const whole = (/^providers:/m.test(text) ? text : text + examples[0].text)
		.replace(/sha256:([0-9a-f]+)\.\.\.([0-9a-f]+)/g, (_, a, b) => `sha256:${a.padEnd(64 - b.length, '0')}${b}`);
	const moved = whole.replace(/"(file:|unix:)?(\/[^"*]*)"/g, (quoted, kind = '', path) => {
		if (/^\/(v\d|chat)/.test(path))
			return quoted;
		if (kind === 'file:')
			make(path, `the-key-in-${path}\n`);
		else
			mkdirSync(dirname(here(path)), { recursive: true });
		return `"${kind}${here(path)}"`;
	});
	for (const [, path] of moved.matchAll(/\b(?:ca|certificate|key|client_ca)_file = "([^"]*)"/g)) {
		both ??= pem();
		writeFileSync(path.startsWith('/') ? path : join(dir, path), both, { mode: 0o600 });
	}
	return moved;
}

test('there are examples, and all of them are read', () => {
	assert.ok(examples.length >= 8, `${examples.length} examples`);
	for (const page of pages)
		assert.equal(displays(page).length, read(`man/${page}`).match(/^\.Bd -literal/gm)?.length ?? 0, page);
	for (const display of all)
		assert.ok(isCommands(display) || examples.includes(display), `what is this?\n${display.text}`);
});

examples.forEach((example, i) => {
	scenario(`example ${i + 1} of api-router.conf(5) is taken by -t without a word`, async (s) => {
		const d = s.command('');
		d.writeConfig(complete(d.dir, example.text));
		d.env = Object.fromEntries([...d.config.matchAll(/env:(\w+)/g)].map(([, name]) => [name, 'a-key-of-one\'s-own']));
		const run = await d.run('-t');
		assert.equal(run.output, `api-router: ${d.configFile}: ok\n`, example.text);
		assert.equal(run.code, 0);
	});
});

scenario('the commands in the pages have options and words that the program has', async (s) => {
	const { stdout: help } = await s.command(null).run('-h');
	let n = 0;
	for (const { page, text } of [...all, ...pages.map((page) => ({ page, text: read(`man/${page}`).replace(/^\.(?:Dl|Ql) (?=api-router|[#$] )/gm, '$ ') }))]) {
		for (const [command, rest] of text.matchAll(/^[$#] (?:[A-Z_]+=\S+ )*api-router\b(.*)$/gm)) {
			for (const part of rest.split(/&& api-router|\|/)) {
				n++;
				for (const [, letters] of part.matchAll(/(?:^|\s)-(\w+)/g))
					for (const letter of letters)
						assert.match(help, new RegExp(`^ {2}-${letter}\\b`, 'm'), `${page}: ${command}`);
				const [, word] = part.match(/-s (\w+)/) ?? [];
				if (word && word !== 'Ar')
					assert.match(help, new RegExp(`^ {11}${word}\\b`, 'm'), `${page}: ${command}`);
			}
		}
	}
	assert.ok(n >= 10, `${n} commands`);
	const signals = new Set([...pages.map((page) => read(`man/${page}`)).join('\n').matchAll(/kill -([A-Z0-9]+) /g)].map(([, name]) => name));
	for (const name of signals)
		assert.match(help, new RegExp(`\\(${name}\\)|^ {11}${name} `, 'm'), `kill -${name}`);
});
