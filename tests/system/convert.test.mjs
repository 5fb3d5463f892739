// convert: etc/convert-config, which turns a configuration of the first API Router into one of this: what it writes,
// what it tells about the rest, how it ends; and every configuration that it writes is loaded by the daemon.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { limit, scenario } from '../lib/scenario.mjs';

const tool = fileURLToPath(new URL('../../etc/convert-config', import.meta.url));
const OPENAI = 'https://api.openai.com/v1';

// Run it: { code, stdout, stderr }. `input` goes to its standard input.
function run(args, input = '') {
	return new Promise((done, failed) => {
		const child = spawn(tool, args, { env: { PATH: process.env.PATH }, timeout: limit(20000) });
		const said = { stdout: '', stderr: '' };
		for (const name of ['stdout', 'stderr'])
			child[name].setEncoding('utf8').on('data', (text) => (said[name] += text));
		child.on('error', failed);
		child.on('close', (code) => done({ code, ...said }));
		child.stdin.on('error', () => {}).end(input);
	});
}

// Convert `document` (an object, or the text or bytes of a file): { code, text, notes }, of which text was loaded by
// the daemon without a complaint, and notes are the lines of standard error behind the name of the file.
async function convert(s, document, ...args) {
	const file = join(s.temporaryDirectory(), 'old.json');
	writeFileSync(file, typeof document === 'string' || Buffer.isBuffer(document) ? document : JSON.stringify(document));
	const { code, stdout, stderr } = await run([...args, file]);
	const notes = stderr.split('\n').slice(0, -1).map((line) => {
		assert.ok(line.startsWith(`convert-config: ${file}: `), stderr);
		return line.slice(`convert-config: ${file}: `.length);
	});
	assert.equal(code, notes.length ? 3 : 0, stderr);
	for (const note of notes)
		assert.ok(stdout.includes(`\n#   ${note}\n`), `stands in the head of the output: ${note}`);
	await loads(s, stdout);
	return { code, text: stdout, notes: notes.join('\n'), body: stdout.replace(/^#.*\n/gm, '').replace(/^\n+/, '') };
}
async function loads(s, text) {
	const d = s.command(text, { env: { DEFAULT_API_KEY: 'sk-test' } });
	const { code, output } = await d.run('-t');
	assert.equal(code, 0, `${text}\n${output}`);
	assert.equal(output, `api-router: ${d.configFile}: ok\n`);
}
// Each of the texts stands in the notes, and there are no more notes than these.
function assertNotes(notes, expected) {
	for (const text of expected)
		assert.ok(notes.split('\n').some((note) => note.startsWith(text)), `${text}\nis not among\n${notes}`);
	assert.equal(notes.split('\n').length, expected.length, notes);
}

scenario('a file like that of qwen: headers, models, limits, streams and endpoints are carried', async (s) => {
	const { code, body, notes } = await convert(s, {
		baseUrl: 'https://portal.qwen.ai/v1',
		headers: { 'User-Agent': 'QwenCode/0.0.10 (linux; x64)', Accept: 'application/json' },
		modelMapping: { 'gpt-4': 'qwen3-coder-plus', 'claude-3.5': 'qwen3-coder-flash', aa: 'b' },
		endpoints: {
			'/v1/chat/completions': {
				upstreamPath: '/chat/completions', method: 'POST', headers: { Accept: 'text/event-stream' },
				streamSupport: true, requiresMultipart: false, rateLimit: { requestsPerMinute: 60, burst: 25 },
				streamConfig: { bufferSize: 4096, heartbeatInterval: 5 },
			},
			'/v1/embeddings': { upstreamPath: '/embeddings', streamSupport: false, rateLimit: { requestsPerMinute: 30 } },
		},
		rateLimit: { requestsPerMinute: 120, burst: 40 },
		streamConfig: { bufferSize: 8192, heartbeatInterval: 30.5 },
		port: 8080,
	});
	assert.equal(code, 0);
	assert.equal(notes, '');
	assert.equal(body, `listen = (
	{ address = "127.0.0.1"; port = 8080; }
);

stream: { heartbeat = 30.5; buffer_bytes = 8192; };

providers: {
	qwen: {
		dialect = "openai";
		base_url = "https://portal.qwen.ai/v1";
		credential = "client-or-provider";
		api_key = "env:DEFAULT_API_KEY";
		headers: { User-Agent = "QwenCode/0.0.10 (linux; x64)"; Accept = "application/json"; };
		model_map = (
			{ from = "gpt-4"; to = "qwen3-coder-plus"; },
			{ from = "claude-3.5"; to = "qwen3-coder-flash"; },
			{ from = "aa"; to = "b"; }
		);
		rate_limit: { requests_per_minute = 120; burst = 40; };
		endpoints = (
			{
				path = "/v1/chat/completions";
				upstream_path = "/chat/completions";
				method = "POST";
				headers: { Accept = "text/event-stream"; };
				rate_limit: { requests_per_minute = 60; burst = 25; };
				stream: { heartbeat = 5.0; buffer_bytes = 4096; };
			},
			{
				path = "/v1/embeddings";
				upstream_path = "/embeddings";
				rate_limit: { requests_per_minute = 30; };
			}
		);
	};
};

routes = (
	{ model = "*"; provider = "qwen"; }
);
`);
});

scenario('a file like that of openai, in snake_case: port 8000 of this machine, and how to have all addresses', async (s) => {
	const { text, body, notes } = await convert(s, {
		base_url: 'https://api.openai.com',
		model_mapping: {},
		endpoints: {
			'/v1/chat/completions': {
				upstream_path: '/v1/chat/completions', stream_support: true, requires_multipart: false,
				rate_limit: { requests_per_minute: 500, burst: 100 }, stream_config: { heartbeat_interval_secs: 10 },
			},
		},
		rate_limit: { requests_per_minute: 0, burst: 0 },
		stream_config: { buffer_size: 32768, heartbeat_interval_ms: 1500 },
	});
	assert.equal(notes, '');
	assert.match(text, /^# api-router\.conf: converted from \S*\/old\.json by convert-config\.\n/);
	assert.match(text, /# .*address = "\*".*\n# open = true;\nlisten = \(\n\t\{ address = "127\.0\.0\.1"; port = 8000; \}\n\);/);
	assert.match(body, /^stream: \{ heartbeat = 1\.5; buffer_bytes = 32768; \};$/m);
	assert.match(body, /^\topenai: \{\n\t\tdialect = "openai";\n\t\tbase_url = "https:\/\/api\.openai\.com";$/m);
	assert.match(body, /upstream_path = "\/v1\/chat\/completions";/);
	assert.match(body, /rate_limit: \{ requests_per_minute = 500; burst = 100; \};\n\t*stream: \{ heartbeat = 10\.0; \};/);
	assert.match(body, /rate_limit: \{ requests_per_minute = 0; burst = 0; \};/);
	assert.doesNotMatch(body, /model_map|headers/);
	const commented = text.replace('"127.0.0.1"', '"*"').replace(/^# open = true;/m, 'open = true;');
	await loads(s, commented);
});

scenario('a file like that of anthropic: its dialect and its paths, with or without /v1 in baseUrl', async (s) => {
	for (const [baseUrl, upstreamPath] of [
		['https://api.anthropic.com', '/v1/messages'],
		['https://api.anthropic.com/v1', '/messages'],
		['https://api.anthropic.com/v1/', 'messages'],
	]) {
		const { body, notes } = await convert(s, {
			baseUrl,
			headers: { 'anthropic-version': '2023-06-01', 'User-Agent': 'x/1' },
			endpoints: {
				'/v1/messages': { upstreamPath, method: 'POST' },
				'/v1/chat/completions': { upstreamPath: '/v1/chat/completions' },
			},
		});
		assert.match(body, /\tanthropic: \{\n\t\tdialect = "anthropic";\n\t\tbase_url = "https:\/\/api\.anthropic\.com";/);
		assert.match(body, /headers: \{ anthropic-version = "2023-06-01"; User-Agent = "x\/1"; \};/);
		assert.match(body, /\{ path = "\/v1\/messages"; upstream_path = "\/v1\/messages"; method = "POST"; \}\n/);
		assertNotes(notes, ['endpoints./v1/chat/completions.upstreamPath: is left out: what comes on this path is translated to the dialect ' +
			'anthropic and goes to /v1/messages; if the provider takes it as it is, add a provider of dialect openai and a route to it']);
	}
});

scenario('what was converted is served as the first API Router did: path, model, headers and key', async (s) => {
	const provider = await s.peer();
	const { body } = await convert(s, {
		baseUrl: provider.url,
		headers: { 'User-Agent': 'Converted/1', 'X.Odd': 'say "hi" \\ x' },
		modelMapping: { 'gpt-4': 'mapped "one"' },
		endpoints: { '/v1/chat/completions': { upstreamPath: '/compat/v1/chat/completions?a=b', headers: { Accept: 'x/y' } } },
	});
	const pid = join(s.temporaryDirectory(), 'pid');
	const daemon = await s.daemon(`${body.replace('port = 8000', 'port = 0')}workers = 1;\npid_file = "${pid}";\n`,
		{ env: { DEFAULT_API_KEY: 'sk-default' } });
	const client = await s.connect(daemon);
	await client.request({ path: '/v1/chat/completions', json: { model: 'gpt-4', messages: [] } });
	const { conn, request } = await provider.request();
	assert.equal(request.target, '/compat/v1/chat/completions?a=b');
	assert.equal(request.json.model, 'mapped "one"');
	assert.equal(request.header('user-agent'), 'Converted/1');
	assert.equal(request.header('x.odd'), 'say "hi" \\ x');
	assert.equal(request.header('accept'), 'x/y');
	assert.equal(request.header('authorization'), 'Bearer sk-default');
	await conn.send('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}');
	assert.equal((await client.readReply()).status, 200);
});

scenario('the provider is called after its host, or as -n says', async (s) => {
	for (const [baseUrl, name, ...args] of [
		[OPENAI, 'openai'], ['https://api.anthropic.com', 'anthropic'], ['https://portal.qwen.ai/v1', 'qwen'],
		['http://localhost:9000', 'localhost'], ['https://a.4-you_b.example', 'you_b'], ['http://x.true.org/', 'provider'],
		['http://127.0.0.1:9000', 'provider'], ['http://[::1]:9000/v1', 'provider'], [OPENAI, 'My-own_1', '-n', 'My-own_1'],
	]) {
		const { body, notes } = await convert(s, { baseUrl }, ...args);
		assert.equal(notes, '');
		assert.match(body, new RegExp(`^\\t${name}: \\{$`, 'm'), baseUrl);
		assert.match(body, new RegExp(`^\\t\\{ model = "\\*"; provider = "${name}"; \\}$`, 'm'), baseUrl);
	}
});

scenario('headers that are the router\'s own, and credentials, are left out and no value is shown', async (s) => {
	const { text, body, notes } = await convert(s, {
		baseUrl: OPENAI,
		headers: {
			'Content-Type': 'application/json', Host: 'h', 'accept-encoding': 'gzip', 'Proxy-Anything': 'p', 'X-Request-ID': 'r',
			Authorization: 'Bearer sk-hidden-1', 'X-Api-Key': 'sk-hidden-2', 'api-key': 'sk-hidden-3', 'User-Agent': 'one',
			'user-agent': 'two', 'not a name': 'x', Empty: '  ', Number: 5, Null: null, Bell: 'a\u0007', Half: '\ud800',
		},
		endpoints: { '/v1/embeddings': { upstreamPath: '/e', headers: { 'x-api-key': 'sk-hidden-4', key: 'fine' } } },
	});
	assert.ok(!text.includes('hidden') && !notes.includes('hidden'), 'a credential is shown');
	assert.match(body, /\t\theaders: \{ user-agent = "two"; \};\n/);
	assert.match(body, /headers = \(\n\t*\{ name = "key"; value = "fine"; \}\n/);
	const own = 'is the router\'s own to set: left out, nothing to do';
	const key = 'holds a credential: left out, put it in a file that only root can read and write api_key = "file:/path", ' +
		'or give it in the environment as DEFAULT_API_KEY';
	assertNotes(notes, [
		'headers.Content-Type: is the client\'s to say, and is passed on: left out, nothing to do',
		`headers.Host: ${own}`, `headers.accept-encoding: ${own}`, `headers.Proxy-Anything: ${own}`, `headers.X-Request-ID: ${own}`,
		`headers.Authorization: ${key}`, `headers.X-Api-Key: ${key}`,
		`headers.api-key: ${key}; the router sends it as Authorization, as x-api-key to Anthropic and as x-goog-api-key to Gemini, ` +
			'so where the provider wants api-key, write that header by hand',
		'headers.user-agent: stands more than once, since case does not matter in names of headers: the last one was taken',
		'headers."not a name": is not a name that HTTP allows: left out',
		'headers.Empty: is empty: left out', 'headers.Number: must be text, not a number: left out',
		'headers.Null: must be text, not null: left out',
		'headers.Bell: holds a control character or a broken one', 'headers.Half: holds a control character or a broken one',
		`endpoints./v1/embeddings.headers.x-api-key: ${key}`,
	]);
});

scenario('paths that the router does not have, and what it knows by itself of a path, are told', async (s) => {
	const e = (more) => ({ upstreamPath: '/x', ...more });
	const { body, notes } = await convert(s, {
		baseUrl: OPENAI,
		endpoints: {
			'/v1/models': e(), '/health': e(), '/metrics': e(), '/v1/chat/completion': e(), '/v1/files': e(), '/v1/messages': e(),
			'/v1/messages/count_tokens': e(), '/v1/completions': e({ streamSupport: false }),
			'/v1/moderations': e({ streamSupport: false, requiresMultipart: false, method: 'patch' }),
			'/v1/rerank': e({ requiresMultipart: true, method: 'TRACE' }),
			'/v1/audio/translations': { requiresMultipart: false }, '/v1/embeddings': 'x', '/v1/audio/speech': {},
			'/v1/images/generations': null,
		},
	});
	assert.deepEqual([...body.matchAll(/path = "(\/v1\/.*?)";/g)].map(([, path]) => path),
		['/v1/completions', '/v1/moderations', '/v1/rerank']);
	assert.match(body, /method = "PATCH"/);
	const own = 'is answered by the router itself: left out, nothing to do';
	const openai = 'is no path of a provider of dialect openai: left out, add a provider of dialect anthropic and a route to it';
	const missing = 'is missing: the path is the one of the dialect, check that it is the provider\'s';
	assertNotes(notes, [
		`endpoints./v1/models: ${own}`, `endpoints./health: ${own}`, `endpoints./metrics: ${own}`,
		'endpoints./v1/chat/completion: is no path of the router: left out, have clients use /v1/chat/completions',
		'endpoints./v1/files: is no path of the router: left out, have clients use one that it has',
		'endpoints./v1/messages.upstreamPath: is left out: what comes on this path is translated to the dialect openai and goes to ' +
			'/chat/completions; if the provider takes it as it is, add a provider of dialect anthropic and a route to it',
		`endpoints./v1/messages/count_tokens: ${openai}`,
		'endpoints./v1/completions.streamSupport: cannot be switched off: streams are passed on where the client asks for them',
		'endpoints./v1/rerank.requiresMultipart: cannot be carried: on this path the router takes JSON, send it that',
		'endpoints./v1/rerank.method: is none of GET, POST, PUT, PATCH, DELETE: left out',
		'endpoints./v1/audio/translations.requiresMultipart: cannot be carried: on this path the router takes ' +
			'multipart/form-data, send it that',
		`endpoints./v1/audio/translations.upstreamPath: ${missing}`, `endpoints./v1/audio/speech.upstreamPath: ${missing}`,
		'endpoints./v1/embeddings: must be an object, not text: left out',
		'endpoints./v1/images/generations: must be an object, not null: left out',
	]);
});

scenario('endpoints that take multipart are carried where the file says so too', async (s) => {
	const paths = ['/v1/audio/transcriptions', '/v1/audio/translations', '/v1/images/edits', '/v1/images/variations'];
	const { body, notes } = await convert(s, {
		baseUrl: OPENAI,
		endpoints: Object.fromEntries(paths.map((path) => [path, { upstreamPath: path.slice(3), requiresMultipart: true }])),
	});
	assert.equal(notes, '');
	for (const path of paths)
		assert.ok(body.includes(`{ path = "${path}"; upstream_path = "${path.slice(3)}"; }`), body);
});

scenario('upstreamPath is joined as it was: what looks doubled, lacks its slash or is a URL is told', async (s) => {
	const { body, notes } = await convert(s, {
		baseUrl: 'https://api.example.org/api/v1',
		endpoints: {
			'/v1/chat/completions': { upstreamPath: '/v1/chat/completions' },
			'/v1/completions': { upstreamPath: '/api/v1?x' },
			'/v1/responses': { upstreamPath: '/v1beta/responses' },
			'/v1/embeddings': { upstreamPath: 'embed' },
			'/v1/moderations': { upstreamPath: 'https://other.example.org/m' },
			'/v1/rerank': { upstreamPath: '/ré rank"#top' },
		},
	});
	assert.match(body, /base_url = "https:\/\/api\.example\.org\/api\/v1";/);
	assert.deepEqual([...body.matchAll(/upstream_path = "(.*?)";/g)].map(([, path]) => path),
		['/v1/chat/completions', '/api/v1?x', '/v1beta/responses', '/embed', '/r%C3%A9%20rank%22']);
	assertNotes(notes, [
		'endpoints./v1/chat/completions.upstreamPath: looks doubled: with baseUrl it is /api/v1/v1/chat/completions, as the ' +
			'first API Router asked for; if the provider has no such path, leave /v1 out of upstream_path',
		'endpoints./v1/completions.upstreamPath: looks doubled: with baseUrl it is "/api/v1/api/v1?x", as the first API Router ' +
			'asked for; if the provider has no such path, leave /api/v1 out of upstream_path',
		'endpoints./v1/embeddings.upstreamPath: does not begin with /: it was written with one',
		'endpoints./v1/moderations.upstreamPath: is a whole URL: left out, write its path as upstream_path',
		'endpoints./v1/rerank.upstreamPath: holds a fragment (#), which was never sent: left out, nothing to do',
	]);
});

// Hosts with a protocol of their own: name, dialect, where that is asked, where they speak OpenAI's.
const NATIVE = [
	['https://api.cohere.com', 'cohere', '/v2/chat', '/compatibility/v1'],
	['https://api.cohere.ai', 'cohere', '/v2/chat', '/compatibility/v1'],
	['https://generativelanguage.googleapis.com', 'gemini', '/v1beta/models/x:generateContent', '/v1beta/openai'],
	['https://ollama.com', 'ollama', '/api/chat', '/v1'],
	['http://127.0.0.1:11434', 'ollama', '/api/chat', '/v1'],
];

scenario('a host with a protocol of its own is asked in that, unless the file asks it in OpenAI\'s', async (s) => {
	const chat = (upstreamPath) => ({ '/v1/chat/completions': { upstreamPath, headers: { Accept: 'x/y' }, rateLimit: { requestsPerMinute: 6 } } });
	for (const [host, dialect, own, there] of NATIVE) {
		for (const [baseUrl, endpoints] of [[host, undefined], [host, chat(own)], [`${host}/`, chat(own)], [host, chat(undefined)]]) {
			const { body, notes } = await convert(s, { baseUrl, modelMapping: { a: 'b' }, endpoints });
			assert.equal(notes, '');
			assert.match(body, new RegExp(`dialect = "${dialect}";\\n\\t\\tbase_url = "${baseUrl}";\\n`), body);
			assert.ok(!body.includes('upstream_path'), body);
			if (endpoints)
				assert.match(body, /headers: \{ Accept = "x\/y"; \};\n\t*rate_limit: \{ requests_per_minute = 6; \};/);
		}
		for (const [baseUrl, endpoints] of [[host, chat(`${there}/chat/completions`)], [`${host}${there}`, chat('/chat/completions')], [`${host}${there}`, undefined]]) {
			const { body, notes } = await convert(s, { baseUrl, endpoints });
			assert.equal(notes, '');
			assert.match(body, new RegExp(`dialect = "openai";\\n\\t\\tbase_url = "${baseUrl}";\\n`), body);
			assert.equal(body.includes('upstream_path'), endpoints !== undefined, body);
		}
		const mixed = await convert(s, { baseUrl: host, endpoints: { ...chat(`${there}/chat/completions`), '/v1/embeddings': { upstreamPath: '/embed' } } });
		assert.match(mixed.body, /dialect = "openai"/);
		assertNotes(mixed.notes, [`baseUrl: this host speaks OpenAI's protocol below ${there} alone, and not at /embed: mend that upstream_path, ` +
			`or write dialect = "${dialect}" and no upstream_path`]);
	}
});

scenario('what a dialect adds itself does not stay in base_url, and paths that it asks no more are told', async (s) => {
	const translated = (dialect, own) => `is left out: what comes on this path is translated to the dialect ${dialect} and goes to ${own}; ` +
		'if the provider takes it as it is, add a provider of dialect openai and a route to it';
	const cohere = await convert(s, {
		baseUrl: 'https://api.cohere.ai/v1',
		endpoints: {
			'/v1/chat/completions': { upstreamPath: '/chat', method: 'put' }, '/v1/messages': { streamConfig: { heartbeatInterval: 5 } },
			'/v1/rerank': { upstreamPath: '/rerank' }, '/v1/audio/speech': { upstreamPath: '/speech' },
		},
	});
	assert.match(cohere.body, /dialect = "cohere";\n\t\tbase_url = "https:\/\/api\.cohere\.ai";\n/);
	assert.match(cohere.body, /path = "\/v1\/messages";\n\t*stream: \{ heartbeat = 5\.0; \};/);
	assert.deepEqual([...cohere.body.matchAll(/\{ (path = .*) \}/g)].map(([, e]) => e),
		['path = "/v1/chat/completions"; method = "PUT";', 'path = "/v1/rerank"; upstream_path = "/v1/rerank";']);
	assertNotes(cohere.notes, [
		`endpoints./v1/chat/completions.upstreamPath: ${translated('cohere', '/v2/chat')}`,
		'endpoints./v1/audio/speech: is no path of a provider of dialect cohere: left out, add a provider of dialect openai and a route to it',
	]);
	const gemini = await convert(s, {
		baseUrl: 'https://generativelanguage.googleapis.com/v1beta/models',
		endpoints: {
			'/v1/chat/completions': { upstreamPath: '/gemini-pro:generateContent', method: 'PUT' },
			'/v1/embeddings': { upstreamPath: '/v1beta/embed', method: 'POST' },
			'/v1/messages/count_tokens': { upstreamPath: '/count' },
		},
	});
	assert.match(gemini.body, /dialect = "gemini";\n\t\tbase_url = "https:\/\/generativelanguage\.googleapis\.com";\n/);
	assert.doesNotMatch(gemini.body, /endpoints/);
	assertNotes(gemini.notes, [
		'endpoints./v1/chat/completions.method: is left out: Gemini is asked by POST',
		`endpoints./v1/embeddings.upstreamPath: ${translated('gemini', '/v1beta/models/...')}`,
		'endpoints./v1/messages/count_tokens: is no path of a provider of dialect gemini: left out, add a provider of dialect anthropic and a route to it',
	]);
	const ollama = await convert(s, {
		baseUrl: 'http://10.0.0.7:11434/api',
		endpoints: { '/v1/completions': { upstreamPath: '/generate' }, '/v1/embeddings': { upstreamPath: 'embed' }, '/v1/chat/completions': { upstreamPath: '/chat?a' } },
	});
	assert.equal(ollama.notes, '');
	assert.match(ollama.body, /dialect = "ollama";\n\t\tbase_url = "http:\/\/10\.0\.0\.7:11434";\n/);
});

scenario('numbers out of range are brought into it or left out, and each is told', async (s) => {
	const { body, notes } = await convert(s, `{
		"baseUrl": "${OPENAI}", "port": 70000,
		"rateLimit": { "requestsPerMinute": 1${'0'.repeat(5000)}, "burst": -1 },
		"streamConfig": { "bufferSize": 10, "heartbeatInterval": 0.0001 },
		"endpoints": {
			"/v1/embeddings": { "upstreamPath": "/e", "rateLimit": { "requestsPerMinute": 1.5, "burst": 100001 },
				"streamConfig": { "bufferSize": 1e9, "heartbeatIntervalMs": 4000000 } },
			"/v1/moderations": { "upstreamPath": "/m", "rateLimit": { "requestsPerMinute": 60.0, "burst": true },
				"streamConfig": { "heartbeatInterval": 0 } }
		} }`);
	assert.match(body, /^listen = \(\n\t\{ address = "127\.0\.0\.1"; port = 8000; \}\n\);\n\nstream: \{ heartbeat = 0\.001; buffer_bytes = 1024; \};/);
	assert.match(body, /\t\trate_limit: \{ requests_per_minute = 1000000; \};\n/);
	assert.match(body, /upstream_path = "\/e";\n\t*stream: \{ heartbeat = 3600\.0; buffer_bytes = 16777216; \};/);
	assert.match(body, /upstream_path = "\/m";\n\t*rate_limit: \{ requests_per_minute = 60; \};\n\t*stream: \{ heartbeat = 0\.0; \};/);
	const e = 'endpoints./v1/embeddings';
	assertNotes(notes, [
		'port: must be a whole number from 1 to 65535: 8000 was written instead',
		'rateLimit.requestsPerMinute: is beyond all bounds, more than the router takes: 1000000 was written instead, change it if that is not right',
		'rateLimit.burst: is less than 0: left out, the router\'s default holds',
		'streamConfig.bufferSize: is 10, less than the router takes: 1024 was written instead',
		'streamConfig.heartbeatInterval: is 0.0001, less than the router takes: 0.001 was written instead',
		`${e}.rateLimit.requestsPerMinute: must be a whole number: left out`,
		`${e}.rateLimit.burst: is 100001, more than the router takes: 100000 was written instead`,
		`${e}.rateLimit.burst: means nothing without requestsPerMinute: left out, write rate_limit with both`,
		`${e}.streamConfig.bufferSize: is 1000000000, more than the router takes: 16777216 was written instead`,
		`${e}.streamConfig.heartbeatIntervalMs: is 4000000, more than the router takes: 3600000 was written instead`,
		'endpoints./v1/moderations.rateLimit.burst: must be a number, not true: left out',
	]);
});

scenario('unknown names, wrong types and names that stand twice are told; null is absence', async (s) => {
	const { body, notes } = await convert(s, `{
		"baseUrl": "https://first.example.org", "baseUrl": "https://user:pass-word@second.example.org/v1#top", "apiKey": "sk-hidden",
		"modelMaping": {}, "headers": [], "port": "9000", "rateLimit": null, "stream_config": { "heartbeatInterval": 1 },
		"streamConfig": { "heartbeatInterval": 2, "heartbeatIntervalSecs": 3, "x\\ny\\u2028": 1 },
		"modelMapping": { "a": "b", "a": "c", "d": 1, "e": "", "f\\u0000": "g" },
		"endpoints": { "/v1/embeddings": { "upstreamPath": ["/e"], "streamSupport": "no", "rateLimit": { "perMinute": 1 } } }
	}`);
	assert.match(body, /base_url = "https:\/\/second\.example\.org\/v1";/);
	assert.match(body, /model_map = \(\n\t*\{ from = "a"; to = "c"; \}\n\t*\);/);
	assert.match(body, /^stream: \{ heartbeat = 3\.0; \};$/m);
	assert.doesNotMatch(body, /endpoints|headers|hidden|pass-word/);
	assert.doesNotMatch(notes, /hidden|pass-word/);
	const e = 'endpoints./v1/embeddings';
	assertNotes(notes, [
		'baseUrl: stands more than once: the last one was taken, check that it is the one that was meant',
		'baseUrl: holds a user or a password: left out, a credential belongs in api_key',
		'baseUrl: holds a fragment (#), which was never sent: left out, nothing to do',
		'apiKey: is not a name of the first API Router: left out, look in api-router.conf(5) for what does the same',
		'modelMaping: is not a name of the first API Router: left out, did you mean modelMapping?',
		'headers: must be an object, not a list: left out, mend it there and convert again',
		'port: must be a number, not text: left out',
		'streamConfig: says the same as stream_config before it: the last one was taken',
		'streamConfig.heartbeatInterval: is said again by streamConfig.heartbeatIntervalSecs, which was taken',
		'streamConfig."x\\ny\\u2028": is not a name of the first API Router',
		'modelMapping.a: stands more than once', 'modelMapping.d: must be text, not a number: left out',
		'modelMapping.e: maps an empty name, or to one: left out, name both',
		'modelMapping."f\\u0000": holds a control character or a broken one, which the configuration cannot: left out',
		`${e}.upstreamPath: must be text, not a list: left out`, `${e}.streamSupport: must be true or false, not text: left out`,
		`${e}.rateLimit.perMinute: is not a name of the first API Router: left out, did you mean requestsPerMinute?`,
	]);
});

scenario('odd and many texts are quoted such that the daemon reads the same', async (s) => {
	const odd = ['a"b', 'back\\slash', '\\"', '\\x41\\n', 'ünï ✓ 😀', '# no comment', '/* nor this */', '@include "x"', '${X};};', '%s%n'];
	const { text, notes } = await convert(s, {
		baseUrl: OPENAI,
		modelMapping: { ...Object.fromEntries(odd.map((name) => [name, name])),
			...Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`model-${i}`, 'm'.repeat(100)])) },
	});
	assert.equal(notes, '');
	const d = s.command(text, { env: { DEFAULT_API_KEY: 'sk-test' } });
	const { stdout } = await d.run('-T');
	for (const name of odd) {
		const quoted = name.replace(/["\\]/g, '\\$&');
		assert.ok(stdout.includes(`{ from = "${quoted}"; to = "${quoted}"; }`), `${name} is not in\n${stdout.slice(0, 4000)}`);
	}
});

scenario('it reads standard input without a file or for -, and a byte-order mark is no fault', async (s) => {
	const json = `\ufeff{"baseUrl":"${OPENAI}","x":1}`;
	for (const args of [[], ['-'], ['-n', 'p', '-']]) {
		const { code, stdout, stderr } = await run(args, json);
		assert.equal(code, 3);
		assert.match(stderr, /^convert-config: standard input: x: is not a name/);
		await loads(s, stdout);
	}
});

scenario('what is no such file is status 1, with one line that says why and nothing written', async (s) => {
	const dir = s.temporaryDirectory();
	mkdirSync(join(dir, 'directory'));
	const url = (text) => JSON.stringify({ baseUrl: text });
	for (const [input, reason] of [
		['', 'line 1: is not JSON: '],
		['{\n"baseUrl": "x"\n', 'line 3: is not JSON: '],
		[`{"baseUrl":"${OPENAI}","port":NaN}`, 'is not JSON: NaN is not JSON'],
		[Buffer.from('{"baseUrl":"\xff"}', 'latin1'), 'is not UTF-8'],
		['['.repeat(100000), 'has too many brackets inside each other'],
		[' '.repeat((4 << 20) + 1), 'is larger than 4194304 bytes'],
		[`{"baseUrl":"${OPENAI}","modelMapping":{${Array.from({ length: 9000 }, (_, i) => `"${i}":"${'m'.repeat(120)}"`)}}}`,
			'is too large: the router\'s file could have 1048576 bytes at most, not '],
		['[]', 'is no configuration of the first API Router: it holds a list'],
		['3', 'is no configuration of the first API Router: it holds a number'],
		['{}', 'is no configuration of the first API Router: it has no baseUrl'],
		['{"baseUrl":null}', 'is no configuration of the first API Router: it has no baseUrl'],
		['{"baseUrl":5}', 'baseUrl must be text, not a number'],
		[url('ftp://secret-1'), 'baseUrl must begin with https:// or http://'],
		[url('https://'), 'baseUrl has no host, or one with a character that a host cannot have'],
		[url('https://a b'), 'baseUrl has no host, or one with a character that a host cannot have'],
		[url('https://a:99999'), 'baseUrl has a port that is not 1 to 65535'],
		[url('https://a:b'), 'baseUrl has a host or a port that is none'],
		[url('https://[::1'), 'baseUrl has a host or a port that is none'],
		[url('https://[x]'), 'baseUrl has no host, or one with a character that a host cannot have'],
		[url('https://a\nb'), 'baseUrl holds a control character or a broken one'],
	]) {
		const file = join(dir, 'old.json');
		writeFileSync(file, input);
		const { code, stdout, stderr } = await run([file]);
		assert.equal(code, 1, stderr);
		assert.equal(stdout, '');
		assert.ok(stderr.startsWith(`convert-config: ${file}: ${reason}`), `${reason}\n${stderr}`);
		assert.equal(stderr.split('\n').length, 2, stderr);
		assert.ok(!stderr.includes('secret'));
	}
	for (const [name, reason] of [['nothing', 'No such file or directory'], ['directory', 'Is a directory']])
		assert.deepEqual(await run([join(dir, name)]),
			{ code: 1, stdout: '', stderr: `convert-config: ${join(dir, name)}: ${reason}\n` });
});

scenario('a wrong command line is status 64 with the usage, and -h is 0', async () => {
	for (const args of [['-x'], ['-n'], ['a', 'b'], ['-n', '', '-'], ['-n', '1a', '-'], ['-n', 'a.b', '-'], ['-n', 'True', '-'], ['--help']]) {
		const { code, stdout, stderr } = await run(args, `{"baseUrl":"${OPENAI}"}`);
		assert.equal(code, 64, args.join(' '));
		assert.equal(stdout, '');
		assert.match(stderr, /^convert-config: .+\nusage: convert-config \[-n provider-name\] \[FILE\.json\]\n$/);
	}
	assert.deepEqual(await run(['-h']), { code: 0, stdout: 'usage: convert-config [-n provider-name] [FILE.json]\n', stderr: '' });
});
