// translate-errors: what goes wrong at a provider of another dialect and stands in no sample of its documentation:
// errors whose body never comes whole, errors inside an answer with status 200, pages of the proxies in front of it.

import assert from 'node:assert/strict';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { PROVIDERS, dialects, providersAt } from '../lib/dialects.mjs';
import { streamHead } from '../lib/peer.mjs';
import { scenario } from '../lib/scenario.mjs';
import { LAST_CHUNK, chunk } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions', COMPLETIONS = '/v1/completions', MESSAGES = '/v1/messages';
const OWN = { [CHAT]: 'openai', [COMPLETIONS]: 'openai', [MESSAGES]: 'anthropic' };
const PAIRS = Object.keys(OWN).flatMap((path) => PROVIDERS.filter((p) => p !== OWN[path]).map((provider) => [path, provider]));
const ANSWER = { parts: [{ text: 'one two three' }], usage: { input: 20, output: 9 } };
const message = (path) => (path === COMPLETIONS ? { prompt: 'Hi' } : { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 50 });

async function setup(s, { config = {}, more = {} } = {}) {
	const peer = await s.peer();
	const d = await s.daemon({ providers: providersAt(peer, Object.fromEntries(PROVIDERS.map((p) => [p, more]))), ...config });
	const at = { peer, d };
	at.ask = (path, model, { json, ...options } = {}) => s.request(d, { path, json: { model, ...message(path), ...json }, ...options,
		headers: { Connection: 'close', ...options.headers } });
	return at;
}
const head = (status, fields) => `HTTP/1.1 ${status} X\r\n${Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
const kindOf = (path, reply) => [reply.status, reply.json.error.type];
const RATE = [429, 'rate_limit_error'];

scenario('an error keeps its kind though its body is cut, coded oddly, or endless', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		const { body } = dialects[provider].error(429, 'come later'), zip = gzipSync(body);
		const bodies = {
			'cut short': [{ 'Content-Length': body.length + 100 }, body, true],
			'cut in a chunk': [{ 'Transfer-Encoding': 'chunked' }, chunk(body), true],
			'nothing of it': [{ 'Content-Length': 50 }, '', true],
			'an unknown coding': [{ 'Content-Length': brotliCompressSync(body).length, 'Content-Encoding': 'br' }, brotliCompressSync(body)],
			'a coding that is none': [{ 'Content-Length': body.length, 'Content-Encoding': 'gzip' }, body],
			'no end': [{ 'Transfer-Encoding': 'chunked' }, chunk(' '.repeat(80000))],
			'a coding that is cut': [{ 'Content-Length': zip.length - 9, 'Content-Encoding': 'gzip' }, zip.subarray(0, -9)],
		};
		for (const [name, [fields, sent, cut]] of Object.entries(bodies))
			for (const stream of [false, true]) {
				at.peer.serve(async (request, conn) => {
					await conn.send(head(429, { 'Content-Type': 'application/json', 'Retry-After': '7', ...fields }));
					if (sent.length > 0)
						await conn.send(sent);
					if (cut)
						conn.cut();
				});
				const reply = await at.ask(path, provider, { json: { stream } });
				assert.deepEqual(kindOf(path, reply), RATE, `${path} ${provider}: ${name}: ${reply.text}`);
				assert.equal(reply.header('retry-after'), '7');
			}
	}
});

scenario('pages of proxies, odd statuses and bodies without a type', async (s) => {
	const at = await setup(s);
	const page = '<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';
	const html = { 'Content-Type': 'text/html' }, upstream = [502, 'server_error', 'api_error'], overloaded = [503, 'server_error', 'overloaded_error', 529];
	const timeout = [504, 'server_error', 'timeout_error'];
	const cases = [
		[502, html, page, upstream, /^HTTP 502 from upstream$/], [504, html, page, timeout, /^HTTP 504 from upstream$/],
		[503, html, page, overloaded, /^HTTP 503 from upstream$/], [524, html, page, timeout, /^HTTP 524/], [521, html, page, upstream, /^HTTP 521/],
		[500, { 'Content-Type': 'text/plain' }, 'upstream connect error', upstream, /^upstream connect error$/],
		[429, {}, 'error code: 1015', [429, 'rate_limit_error', 'rate_limit_error'], /^error code: 1015$/],
		[529, {}, '', overloaded, /^HTTP 529/], [408, {}, '', timeout, /^HTTP 408/], [499, {}, '', timeout, /^HTTP 499/],
		[307, { Location: '/x' }, '', upstream, /redirect/], [304, {}, '', upstream, /redirect/], [204, {}, '', upstream, /./], [202, {}, '{}', upstream, /./],
		[200, html, page, upstream, /./], [200, {}, page, upstream, /./], [200, {}, '', upstream, /./], [200, {}, 'null', upstream, /./], [200, {}, '[]', upstream, /./],
	];
	for (const [path, provider] of PAIRS)
		for (const [status, headers, body, [openai, type, theirs, other], text] of cases)
			for (const stream of [false, true]) {
				at.peer.serve(() => ({ status, headers, body }));
				const reply = await at.ask(path, provider, { json: { stream } });
				const expected = path === MESSAGES ? [other ?? openai, theirs] : [openai, type];
				assert.deepEqual(kindOf(path, reply), expected, `${path} ${provider} ${status} ${stream}: ${reply.text}`);
				assert.match(reply.json.error.message, text, `${path} ${provider} ${status}`);
				assert.ok(!reply.text.includes('nginx'));
			}
});

scenario('an answer whose type is missing or wrong is read all the same', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const type of [undefined, 'text/plain', 'application/octet-stream', 'TEXT/EVENT-STREAM;charset=UTF-8', 'application/json'])
			for (const stream of [false, true]) {
				const d = dialects[provider], legacy = path === COMPLETIONS, fields = type ? { 'Content-Type': type } : {};
				at.peer.serve(async (request, conn) => {
					const body = stream ? d.stream(ANSWER, provider, undefined, legacy).join('') : d.reply(ANSWER, provider, legacy);
					await conn.send(head(200, { 'Transfer-Encoding': 'chunked', ...fields }));
					await conn.send(chunk(body));
					await conn.send(LAST_CHUNK);
				});
				const reply = await at.ask(path, provider, { json: { stream } });
				assert.equal(reply.status, 200, `${path} ${provider} ${type} ${stream}: ${reply.text}`);
				assert.ok(reply.text.includes('one two three'), `${path} ${provider} ${type} ${stream}: ${reply.text}`);
				assert.match(reply.header('content-type'), stream ? /^text\/event-stream/ : /^application\/json$/);
			}
});

scenario('Gemini\'s list of replies, under whatever type, is the stream that it is', async (s) => {
	const at = await setup(s);
	const pieces = ['one', ' two', ' three'].map((text) => ({ candidates: [{ content: { role: 'model', parts: [{ text }] } }] }));
	const body = `[${[...pieces, { candidates: [{ finishReason: 'STOP' }] }].map((e) => JSON.stringify(e, null, 1)).join('\n,\r\n')}\n]\n`;
	for (const path of Object.keys(OWN))
		for (const type of ['application/json', 'text/event-stream', 'text/plain'])
			for (const stream of [false, true]) {
				at.peer.serve(() => ({ headers: { 'Content-Type': type }, body }));
				const reply = await at.ask(path, 'gemini', { json: { stream } });
				assert.equal(reply.status, 200, `${path} ${type} ${stream}: ${reply.text}`);
				assert.ok(stream ? /one[^]*two[^]*three[^]*(DONE|message_stop)/.test(reply.text) : reply.text.includes('one two three'), reply.text);
			}
	at.peer.serve(() => ({ headers: { 'Content-Type': 'text/event-stream' }, body: '[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]' }));
	assert.deepEqual(kindOf(CHAT, await at.ask(CHAT, 'gemini', { json: { stream: true } })), [503, 'server_error']);
});

// An error inside an answer with status 200 that says: your key is not known.
const KEY = {
	openai: { error: { message: 'Incorrect API key provided: sk-abcdefghijklm', type: 'invalid_request_error', param: null, code: 'invalid_api_key' } },
	anthropic: { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } },
	gemini: { error: { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT',
		details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }] } },
	cohere: { error: { message: 'invalid api token', code: 401 } },
	ollama: { error: { message: 'unauthorized', code: 401 } },
};
scenario('a credential that is refused inside an answer is not the client\'s, unless it sent it', async (s) => {
	for (const policy of ['provider', 'client']) {
		const at = await setup(s, { more: { credential: policy } });
		for (const [path, provider] of PAIRS)
			for (const stream of [false, true]) {
				at.peer.serve(() => ({ body: JSON.stringify(KEY[provider]) }));
				const reply = await at.ask(path, provider, { json: { stream }, headers: { Authorization: 'Bearer sk-mine' } });
				if (policy === 'client' && provider !== 'anthropic')
					assert.deepEqual(kindOf(path, reply), path === MESSAGES ? [401, 'authentication_error'] : [401, 'invalid_request_error'], `${path} ${provider}: ${reply.text}`);
				else
					assert.deepEqual(kindOf(path, reply), path === MESSAGES ? [502, 'api_error'] : [502, 'server_error'], `${path} ${provider}: ${reply.text}`);
			}
	}
});

scenario('Gemini\'s error in a stream: bare JSON behind the events, as Google\'s own SDK looks for it', async (s) => {
	const at = await setup(s);
	const d = dialects.gemini, error = { error: { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' } };
	const texts = [JSON.stringify(error), JSON.stringify(error, null, 2), `${JSON.stringify(error, null, 2)}\n`, `${JSON.stringify(error)}\r\n\r\n`];
	for (const path of Object.keys(OWN))
		for (const text of texts)
			for (const size of [1, 7, 100000])
				for (const begun of [true, false]) {
					const events = begun ? d.stream(ANSWER, 'gemini').slice(0, 1).map((e) => e.replace(/"finishReason":"[A-Z]+",?/, '')) : [];
					const sent = events.join('').replaceAll('\n', '\r\n') + text;
					at.peer.serve(async (request, conn) => {
						await conn.send(streamHead({ 'Content-Type': d.type }));
						for (let i = 0; i < sent.length; i += size)
							await conn.send(chunk(sent.slice(i, i + size)));
						await conn.send(LAST_CHUNK);
					});
					const reply = await at.ask(path, 'gemini', { json: { stream: true } });
					if (reply.status === 200)
						assert.match(reply.events.at(-1).data, /The model is overloaded\./, `${path} ${size} ${begun} ${text}: ${reply.text}`);
					else
						assert.match(reply.json.error.message, /^The model is overloaded\.$/);
					assert.equal(reply.status, begun ? 200 : path === MESSAGES ? 529 : 503, `${path} ${size} ${text}: ${reply.text}`);
				}
});

scenario('when to come again: by what is left of the provider\'s quotas, where it says nothing else', async (s) => {
	const at = await setup(s);
	const soon = new Date(Date.now() + 90000).toISOString().replace(/\.\d+Z/, 'Z');
	const fields = {
		openai: { 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-reset-requests': '6m0s', 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '1m30s' },
		anthropic: { 'anthropic-ratelimit-requests-remaining': '0', 'anthropic-ratelimit-requests-reset': soon },
	};
	for (const [path, provider] of PAIRS.filter(([, p]) => fields[p]))
		for (const [status, more, expected] of [[429, {}, 90], [429, { 'Retry-After': '7' }, 7], [429, { 'retry-after-ms': '7000' }, undefined], [400, {}, undefined]]) {
			at.peer.serve(() => ({ ...dialects[provider].error(status, 'later'), headers: { ...fields[provider], ...more } }));
			const reply = await at.ask(path, provider);
			assert.equal(reply.status, status);
			const seconds = reply.header('retry-after') && Number(reply.header('retry-after'));
			assert.ok(expected === 90 ? seconds > 60 && seconds <= 90 : seconds === expected, `${path} ${provider} ${status}: ${seconds}`);
			assert.ok(reply.names.every((name) => !/ratelimit/i.test(name)), 'the quotas are the router\'s own');
		}
});

// ---- embeddings

scenario('embeddings: what goes wrong there is told as with chats', async (s) => {
	const at = await setup(s);
	const input = { input: ['a', 'b'] };
	for (const provider of ['gemini', 'cohere', 'ollama']) {
		const ask = (json) => s.request(at.d, { path: '/v1/embeddings', json: { model: provider, ...input, ...json }, headers: { Connection: 'close' } });
		for (const [status, headers, body, expected, text] of [
			[429, { 'Retry-After': '7' }, dialects[provider].error(429, 'come later').body, [429, 'rate_limit_error'], /come later/],
			[503, { 'Content-Encoding': 'gzip' }, gzipSync(dialects[provider].error(503, 'come later').body), [503, 'server_error'], /come later/],
			[400, {}, dialects[provider].error(400, 'bad dimension').body, [400, 'invalid_request_error'], /bad dimension/],
			[401, {}, dialects[provider].error(401, 'your key').body, [502, 'server_error'], /credential|key/],
			[502, { 'Content-Type': 'text/html' }, '<html>', [502, 'server_error'], /HTTP 502/],
			[302, { Location: '/x' }, '', [502, 'server_error'], /redirect/], [204, {}, '', [502, 'server_error'], /./],
			[200, {}, '', [502, 'server_error'], /./], [200, {}, '<html>', [502, 'server_error'], /./], [200, {}, '{"embeddings":[]}', [502, 'server_error'], /./],
			[200, {}, '{"error":{"code":429,"message":"come later"}}', [429, 'rate_limit_error'], /come later/],
			[200, {}, '{"error":{"code":401,"message":"your key"}}', [502, 'server_error'], /credential|key/],
		]) {
			at.peer.serve(() => ({ status, headers, body }));
			const reply = await ask({});
			assert.deepEqual([reply.status, reply.json.error.type], expected, `${provider} ${status}: ${reply.text}`);
			assert.match(reply.json.error.message, text);
			assert.equal(reply.header('retry-after'), headers['Retry-After']);
		}
	}
	const none = await s.request(at.d, { path: '/v1/embeddings', json: { model: 'anthropic', input: 'a' }, headers: { Connection: 'close' } });
	assert.deepEqual([none.status, none.json.error.type, none.json.error.param], [400, 'invalid_request_error', 'model']);
});

scenario('a byte-order mark and white space before an answer say nothing', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const mark of ['\ufeff', ' \r\n\n'])
			for (const stream of [false, true])
				for (const failing of [false, true]) {
					const d = dialects[provider], legacy = path === COMPLETIONS, error = d.error(429, 'come later');
					const body = failing ? error.body : stream ? d.stream(ANSWER, provider, undefined, legacy).join('') : d.reply(ANSWER, provider, legacy);
					at.peer.serve(() => ({ status: failing ? 429 : 200, headers: { 'Content-Type': stream && !failing ? d.type : 'application/json' }, body: mark + body }));
					const reply = await at.ask(path, provider, { json: { stream } });
					const name = `${path} ${provider} ${JSON.stringify(mark)} ${stream}`;
					assert.equal(reply.status, failing ? 429 : 200, `${name}: ${reply.text}`);
					assert.ok(reply.text.includes(failing ? 'come later' : 'one two three'), `${name}: ${reply.text}`);
				}
});

scenario('a line for each thing that Ollama says, a load, a wait and an error among them', async (s) => {
	const at = await setup(s, { config: { stream: { heartbeat: 0.05 } } });
	const line = (more) => `${JSON.stringify({ model: 'ollama', created_at: '2026-05-01T12:00:00Z', ...more })}\n`;
	const say = (content, more) => line({ message: { role: 'assistant', content }, done: false, ...more });
	for (const path of [CHAT, MESSAGES]) {
		for (const [lines, told, failed] of [
			[[line({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'load' })], '', undefined],
			[[line({ done: false }), say('Hi'), line({ done: true, done_reason: 'stop' })], 'Hi', undefined],
			[[say('Hi'), '\r\n', '\n', say(' é'), line({ done: true }).trimEnd()], 'Hi é', undefined],
			[[say('Hi'), `${JSON.stringify({ error: 'an error was encountered' })}\n`], 'Hi', /an error was encountered/],
			[[say('Hi'), JSON.stringify({ error: 'an error was encountered' })], 'Hi', /an error was encountered/],
			[[say('Hi'), say('Ho')], 'HiHo', /cut short/],
		])
			for (const size of [3, 100000]) {
				const bytes = Buffer.from(lines.join(''));
				at.peer.serve(async (request, conn) => {
					await conn.send(streamHead({ 'Content-Type': 'application/x-ndjson' }));
					for (let i = 0; i < bytes.length; i += size)
						await conn.send(chunk(bytes.subarray(i, i + size)));
					await conn.send(LAST_CHUNK);
				});
				const reply = await at.ask(path, 'ollama', { json: { stream: true } });
				const name = `${path} ${size} ${JSON.stringify(lines)}: ${reply.text}`;
				if (reply.status !== 200) {
					assert.match(reply.json.error.message, failed ?? /never/, name);
					continue;
				}
				const events = reply.events.filter((e) => e.data !== '[DONE]').map((e) => JSON.parse(e.data));
				assert.equal(events.map((e) => e.choices?.[0]?.delta?.content ?? e.delta?.text ?? '').join(''), told, name);
				assert.equal(Boolean(events.at(-1).error), failed !== undefined, name);
				if (failed)
					assert.match(events.at(-1).error.message, failed, name);
			}
	}
});
