// metrics-files: what the rules of etc/prometheus and the dashboard of etc/grafana ask for is what /metrics gives: names, labels, and the
// values of labels that are spelled out.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reply, streamHead } from '../lib/peer.mjs';
import { workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK } from '../lib/wire.mjs';

// Type and labels of each metric.
const METRICS = {
	requests_total: ['counter', 'path', 'provider', 'status', 'client'],
	request_seconds: ['histogram', 'path', 'provider'],
	first_byte_seconds: ['histogram', 'path', 'provider'],
	overhead_seconds: ['histogram', 'path'],
	upstream_errors_total: ['counter', 'provider', 'kind'],
	upstream_connects_total: ['counter', 'provider'],
	upstream_reuses_total: ['counter', 'provider'],
	upstream_alerts_total: ['counter', 'provider'],
	tokens_total: ['counter', 'provider', 'model', 'kind', 'client'],
	usage_missing_total: ['counter', 'provider'],
	rate_limited_total: ['counter', 'path', 'client'],
	rate_limit_buckets: ['gauge'],
	rate_limit_evictions_total: ['counter'],
	connections: ['gauge', 'side', 'state'],
	accept_failures_total: ['counter', 'reason'],
	closes_total: ['counter', 'side', 'reason'],
	heartbeats_total: ['counter'],
	workers: ['gauge', 'state'],
	worker_exits_total: ['counter', 'reason'],
	process_start_failures_total: ['counter'],
	generation: ['gauge'],
	reloads_total: ['counter', 'result'],
	upgrades_total: ['counter', 'result'],
	log_lines_lost_total: ['counter'],
	build_info: ['gauge', 'version'],
	start_time_seconds: ['gauge'],
};
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, Infinity];
// All values of labels that have a fixed set, of which the traffic below gives only some.
const VALUES = {
	upstream_errors_total: { kind: ['resolve', 'connect', 'tls', 'closed', 'reset', 'cut', 'http', 'body', 'error', 'redirect', 'credential', 'full',
		'memory', 'descriptors', 'connect_timeout', 'first_byte_timeout', 'idle_timeout', 'total_timeout', 'status'] },
	tokens_total: { kind: ['input', 'output', 'cache_read', 'cache_write', 'reasoning'] },
	connections: { side: ['client', 'upstream'], state: ['active', 'idle'] },
};
const PREFIX = 'api_router_';
const CHAT = '/v1/chat/completions';

const file = (name) => readFileSync(new URL(`../../etc/${name}`, import.meta.url), 'utf8');

// What a small program prints as JSON, run by the first Python that has the module.
function python(module, program, input) {
	const command = ['python3', '/usr/bin/python3'].find((p) => spawnSync(p, ['-c', `import ${module}`]).status === 0);
	assert.ok(command, `no python3 has ${module}: make deps check installs it`);
	const run = spawnSync(command, ['-c', program], { input, encoding: 'utf8', maxBuffer: 1 << 26 });
	assert.equal(run.status, 0, run.stderr);
	return JSON.parse(run.stdout);
}
const yaml = (text) => python('yaml', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))', text);
// Families as Prometheus' own client library reads them: { NAME: { type, help, samples: [[name, labels, value]] } }.
function parseExposition(text) {
	const families = python('prometheus_client', `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, str(s.value)] for s in f.samples]]
	for f in parse(sys.stdin.read())]))`, text);
	// It takes the _total from the names of counters.
	return Object.fromEntries(families.map(([name, type, help, samples]) => [type === 'counter' ? `${name}_total` : name,
		{ type, help, samples: samples.map(([n, labels, v]) => [n, labels, v === 'inf' ? Infinity : Number(v)]) }]));
}

// ---- expressions

// The metric that a series belongs to.
function metricOf(series) {
	const base = series.replace(/_(bucket|sum|count)$/, '');
	return METRICS[base.slice(PREFIX.length)]?.[0] === 'histogram' ? base : series;
}
// What an expression names, as far as it is needed here: { selectors: [{ series, metric, labels, matchers: [{ label, op, value }] }],
// lists: [{ labels, inside }], labels, metric }, where `inside` are the selectors that a list of labels is about, and the last two are of
// the result. `records`: name -> { labels, metric } of the recorded series.
function readExpression(expr, records) {
	const tokens = expr.match(/"(?:[^"\\]|\\.)*"|\d[\w.]*|\$?[A-Za-z_:][\w:]*|[=!]~|[=!<>]=|\S/g);
	const selectors = [];
	const lists = [];
	const close = (at) => { // where the parenthesis at `at` ends
		for (let depth = 0; ; at++) {
			assert.ok(at < tokens.length, `parentheses in ${expr}`);
			depth += (tokens[at] === '(') - (tokens[at] === ')');
			if (depth === 0)
				return at;
		}
	};
	for (let i = 0; i < tokens.length; i++) {
		const token = tokens[i];
		if (!/^[A-Za-z_:]/.test(token) || ['and', 'or', 'unless', 'offset'].includes(token))
			continue;
		if (['by', 'on'].includes(token)) {
			const end = close(i + 1);
			const list = { kind: token, labels: tokens.slice(i + 2, end).filter((t) => t !== ','), from: end + 1 };
			list.to = token === 'by' ? close(list.from) : list.from;
			lists.push(list);
			i = end;
		} else if (tokens[i + 1] === '(' || tokens[i + 1] === 'by') {
			assert.match(token, /^(sum|max|count|rate|increase|histogram_quantile|label_replace|clamp_max|time|vector)$/, expr);
		} else {
			const selector = { series: token, at: i, matchers: [] };
			if (tokens[i + 1] === '{')
				for (i += 2; tokens[i] !== '}'; i += tokens[i + 3] === ',' ? 4 : 3)
					selector.matchers.push({ label: tokens[i], op: tokens[i + 1], value: JSON.parse(tokens[i + 2]) });
			if (records[token]) {
				Object.assign(selector, records[token]);
			} else if (token === 'up') {
				selector.labels = ['job', 'instance'];
			} else {
				const metric = METRICS[metricOf(token).slice(PREFIX.length)];
				assert.ok(token.startsWith(PREFIX) && metric, `no such metric: ${token} in ${expr}`);
				assert.equal(metric[0] === 'histogram', metricOf(token) !== token, `${token} is a ${metric[0]}: ${expr}`);
				selector.metric = metricOf(token).slice(PREFIX.length);
				selector.labels = ['job', 'instance', ...metric.slice(1), ...(token.endsWith('_bucket') ? ['le'] : [])];
			}
			selectors.push(selector);
		}
	}
	// What stands behind an on() need have only the labels of that.
	const partner = (s) => lists.some((l) => l.kind === 'on' && l.from === s.at);
	for (const list of lists)
		list.inside = selectors.filter((s) => s.at >= list.from && s.at <= list.to && (list.kind === 'on' || !partner(s)));
	const { labels } = lists.find((l) => l.kind === 'by') ?? selectors[0];
	const spent = tokens.includes('histogram_quantile') ? 'le' : '';
	return { selectors, lists, labels: labels.filter((l) => l !== spent), metric: selectors[0].metric };
}
// Labels exist where they are used.
function checkLabels({ selectors, lists }, expr) {
	for (const { series, labels, matchers } of selectors)
		for (const { label } of matchers)
			assert.ok(labels.includes(label), `${series} has no label ${label}: ${expr}`);
	for (const { labels, inside } of lists) {
		assert.ok(inside.length, expr);
		for (const label of labels)
			for (const s of inside)
				assert.ok(s.labels.includes(label), `${s.series} has no label ${label}: ${expr}`);
	}
}
const labelsIn = (text, pattern) => [...text.matchAll(pattern)].map((m) => m[1]);

// Every expression of the rules and the dashboard, checked but for what only the daemon can tell: [{ where, expr, selectors }].
function expressions() {
	const all = [];
	const records = {};
	const add = (where, expr) => {
		const read = readExpression(expr, records);
		checkLabels(read, expr);
		all.push({ where, expr, ...read });
		return read;
	};
	for (const { rules } of yaml(file('prometheus/alerts.yml')).groups)
		for (const rule of rules) {
			const { labels, metric } = add(rule.record ?? rule.alert, rule.expr);
			if (rule.record) {
				assert.ok(!records[rule.record], `${rule.record} stands twice`);
				records[rule.record] = { labels, metric };
				continue;
			}
			assert.match(rule.labels.severity, /^(critical|warning|info)$/, rule.alert);
			assert.deepEqual(Object.keys(rule.annotations), ['summary', 'description'], rule.alert);
			for (const text of Object.values(rule.annotations)) {
				for (const label of labelsIn(text, /\$labels\.(\w+)/g))
					assert.ok(labels.includes(label), `${rule.alert} says $labels.${label}, which its series do not have`);
				for (const name of labelsIn(text, /\bapi_router_(\w+)/g))
					assert.ok(METRICS[name], `${rule.alert} names ${name}`);
			}
		}
	const alerts = all.filter(({ where }) => !records[where]).map(({ where }) => where);
	assert.equal(new Set(alerts).size, alerts.length, `an alert stands twice: ${alerts}`);

	const dashboard = JSON.parse(file('grafana/api-router.json'));
	for (const panel of dashboard.panels)
		for (const { expr, legendFormat } of panel.targets ?? []) {
			const { labels } = add(`panel ${panel.title}`, expr);
			for (const label of labelsIn(legendFormat, /\{\{(\w+)\}\}/g))
				assert.ok(labels.includes(label), `panel ${panel.title}: its series have no label ${label}`);
		}
	for (const { name, type, query } of dashboard.templating.list)
		if (type === 'query') {
			const [, metric, label] = query.query.match(/^label_values\((\w+), (\w+)\)$/);
			add(`variable ${name}`, `sum by (${label}) (${metric})`);
		}
	return all;
}

test('the dashboard: panels have ids of their own, lie side by side, and use variables that are there', () => {
	const { panels, templating } = JSON.parse(file('grafana/api-router.json'));
	const known = [...templating.list.map((v) => v.name), '__rate_interval'];
	assert.equal(new Set(panels.map((p) => p.id)).size, panels.length);
	const taken = new Map();
	for (const { title, gridPos: { x, y, w, h }, targets = [] } of panels) {
		assert.ok(x >= 0 && x + w <= 24, title);
		for (let cell = 0; cell < w * h; cell++) {
			const place = `${x + cell % w},${y + Math.floor(cell / w)}`;
			assert.ok(!taken.has(place), `${title} lies over ${taken.get(place)}`);
			taken.set(place, title);
		}
		for (const target of targets) {
			assert.equal(target.datasource.uid, '${datasource}', title);
			for (const name of labelsIn(target.expr, /\$\{?(\w+)/g))
				assert.ok(known.includes(name), `${title}: $${name}`);
		}
	}
});

test('every metric is on the dashboard', () => {
	const shown = new Set(expressions().filter(({ where }) => where.startsWith('panel ')).flatMap((e) => e.selectors).map((s) => s.metric));
	assert.deepEqual(Object.keys(METRICS).filter((name) => !shown.has(name)), []);
});

test('the scrape configuration names the daemon as it is shipped, by the job that the rules know', () => {
	const [job, ...others] = yaml(file('prometheus/scrape.yml')).scrape_configs;
	assert.deepEqual(others, []);
	assert.deepEqual(job.static_configs, [{ targets: ['127.0.0.1:8000'] }]);
	assert.match(file('api-router.conf'), /\{ address = "127\.0\.0\.1"; port = 8000; \}/);
	const jobs = expressions().flatMap((e) => e.selectors).flatMap((s) => s.matchers).filter((m) => m.label === 'job');
	assert.ok(jobs.length > 0);
	for (const { op, value } of jobs)
		assert.deepEqual([op, value], ['=', job.job_name]);
});

// ---- the daemon

const MESSAGE = { role: 'assistant', content: 'a' };
const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
const event = (choices, usage) => `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices, usage })}\n\n`;
const TEXT = event([{ index: 0, delta: { content: 'a' } }]);
const STOP = event([{ index: 0, delta: {}, finish_reason: 'stop' }]);

// A provider that does what the model is called; `slow` waits for `go`.
function answer(go) {
	return async ({ json: { model } }, conn) => {
		if (model === 'broken')
			return reply({ status: 500, reason: 'Internal Server Error', body: { error: { message: 'broken', type: 'server_error' } } });
		if (model === 'plain')
			return reply({ body: { object: 'chat.completion', choices: [{ index: 0, message: MESSAGE, finish_reason: 'stop' }], usage: USAGE } });
		await conn.send(streamHead());
		await conn.send(chunk(TEXT));
		if (model === 'slow')
			await go;
		await conn.send(chunk(STOP + (model === 'mute' ? '' : event([], USAGE)) + 'data: [DONE]\n\n'));
		await conn.send(LAST_CHUNK);
	};
}

// The metrics of a daemon to which about everything has happened that is counted.
async function traffic(s) {
	const provider = await s.peer();
	const down = await s.peer();
	down.close();
	let go;
	provider.serve(answer(new Promise((resolve) => (go = resolve))));
	const keys = { ALICE: 'alice-has-a-long-key', BOB: 'bob-has-a-long-key-too' };
	const config = {
		workers: 2,
		stream: { heartbeat: 0.1 },
		clients: {
			alice: { key: 'env:ALICE' },
			bob: { key: 'env:BOB', rate_limit: { requests_per_minute: 1, burst: 1 } },
		},
		providers: {
			p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['plain', 'stream', 'slow', 'mute', 'broken'] },
			down: { dialect: 'openai', base_url: `${down.url}/v1`, models: ['down'] },
			echo: { dialect: 'echo', models: ['echo'] },
		},
	};
	const d = await s.daemon(config, { env: keys });
	const chat = (model, stream = false, key = keys.ALICE) => ({ path: CHAT, headers: { Authorization: `Bearer ${key}` },
		json: { model, stream, messages: [{ role: 'user', content: 'hello' }] } });
	const ask = async (options) => {
		const conn = await s.connect(d);
		const got = await conn.exchange(options);
		conn.destroy();
		return got;
	};
	const scrape = async () => {
		const got = await ask({ path: '/metrics' });
		assert.equal(got.status, 200);
		assert.match(got.header('content-type'), /^text\/plain; version=0\.0\.4\b/);
		return got.text;
	};

	const conn = await s.connect(d);
	for (const [model, stream, status] of [['plain', false, 200], ['stream', true, 200], ['mute', true, 200], ['echo', true, 200],
		...Array(5).fill(['broken', false, 500]), ...Array(5).fill(['down', false, 502])])
		assert.equal((await conn.exchange(chat(model, stream))).status, status, model);
	await conn.request(chat('slow', true));
	const slow = await conn.readHead();
	await slow.until(': keep-alive\n');
	go();
	await slow.finish();
	conn.destroy();
	for (const status of [200, 429])
		assert.equal((await ask(chat('echo', false, keys.BOB))).status, status);
	assert.equal((await ask(chat('echo', false, 'a-key-that-nobody-has'))).status, 401);
	assert.equal((await ask({ path: '/nowhere', headers: { Authorization: `Bearer ${keys.ALICE}` } })).status, 404);

	d.signal('SIGHUP');
	await d.waitLog(/ready: 2 workers, generation 2\n/);
	await until(() => workers(d).length === 2, 'the old workers have ended', 20000);
	d.writeConfig({ ...config, workers: 999 });
	d.signal('SIGHUP');
	await d.waitLog(/reload failed: /);
	d.signal('SIGUSR2');
	await d.waitLog(/upgrade failed: /, { ms: 20000 });
	const before = workers(d);
	process.kill(before[0], 'SIGKILL');
	await until(() => workers(d).length === 2 && !workers(d).includes(before[0]), 'the worker was replaced');
	await until(async () => (await scrape()).includes(`\n${PREFIX}workers{state="ready"} 2\n`), 'both are ready');
	return scrape();
}

scenario('Prometheus\' own parser takes /metrics, and the rules and the dashboard ask for what is there', async (s) => {
	const text = await traffic(s);
	const families = parseExposition(text);

	// Names and types are announced as in the table above, and each series has the labels that it should.
	const seen = {}; // metric -> label -> values
	for (const [name, [type, ...labels]] of Object.entries(METRICS)) {
		const family = families[PREFIX + name];
		assert.ok(family, `${name} is not in /metrics`);
		assert.equal(family.type, type, name);
		assert.ok(family.help, `${name} has no help`);
		assert.match(text, new RegExp(`^# HELP ${PREFIX}${name} .*\n# TYPE ${PREFIX}${name} ${type}\n`, 'm'));
		seen[name] = Object.fromEntries(labels.map((l) => [l, new Set(VALUES[name]?.[l])]));
		assert.ok(family.samples.length > 0, `nothing was counted by ${name}`);
		for (const [series, given] of family.samples) {
			const expected = series.endsWith('_bucket') ? [...labels, 'le'] : labels;
			assert.deepEqual(Object.keys(given).sort(), [...expected].sort(), series);
			for (const label of labels) {
				if (VALUES[name]?.[label])
					assert.ok(VALUES[name][label].includes(given[label]), `${series}: ${label} is ${given[label]}`);
				assert.notEqual(given[label], '', `${series}: ${label} is empty, not "other"`);
				seen[name][label].add(given[label]);
			}
		}
	}

	// Histograms have the buckets that they should, which only grow, to the count.
	for (const [name, { samples }] of Object.entries(families).filter(([, f]) => f.type === 'histogram')) {
		const of = ([, { le, ...labels }]) => JSON.stringify(labels);
		for (const labels of new Set(samples.map(of))) {
			const own = samples.filter((x) => of(x) === labels);
			const buckets = own.filter(([series]) => series.endsWith('_bucket'));
			const count = own.find(([series]) => series.endsWith('_count'))[2];
			assert.deepEqual(buckets.map(([, { le }]) => Number(le.replace('+Inf', 'Infinity'))), BOUNDS, `${name} ${labels}`);
			assert.ok(buckets.every(([, , v], i) => i === 0 || v >= buckets[i - 1][2]), `${name} ${labels}`);
			assert.equal(buckets.at(-1)[2], count, `${name} ${labels}`);
			assert.ok(own.some(([series, , v]) => series.endsWith('_sum') && v >= 0 && (v > 0) <= (count > 0)), `${name} ${labels}`);
		}
	}

	// Values that an expression spells out exist; a variable of the dashboard can be anything.
	for (const { where, selectors } of expressions())
		for (const { series, metric, matchers } of selectors)
			for (const { label, op, value } of matchers.filter((m) => m.label !== 'job' && !m.value.includes('$'))) {
				const values = [...seen[metric][label]];
				for (const one of op.endsWith('~') ? value.split('|') : [value])
					assert.ok(values.some((v) => (op.endsWith('~') ? new RegExp(`^(?:${one})$`).test(v) : v === one)),
						`${where}: ${label} of ${series} is never ${one}, only ${values}`);
			}
});
