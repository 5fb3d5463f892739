// translate: what of a translation no SDK shows: fields of heads, credentials, hints when to come again, codings, streams
// that break off anywhere, heartbeats and back pressure.

import assert from 'node:assert/strict';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { PROVIDERS, dialects, provide, providersAt, wantsStream } from '../lib/dialects.mjs';
import { streamHead } from '../lib/peer.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { LAST_CHUNK, chunk } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions', COMPLETIONS = '/v1/completions', MESSAGES = '/v1/messages';
const OWN = { [CHAT]: 'openai', [COMPLETIONS]: 'openai', [MESSAGES]: 'anthropic' };
const others = (path) => PROVIDERS.filter((p) => p !== OWN[path]);
// Every client's path with every provider that speaks something else.
const PAIRS = Object.keys(OWN).flatMap((path) => others(path).map((provider) => [path, provider]));

const ask = (path, model, more = {}) => ({
	model, ...(path === COMPLETIONS ? { prompt: 'Hi' } : { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 50 }), ...more,
});
const ANSWER = { parts: [{ text: 'one two three four five six' }], usage: { input: 20, cached: 5, output: 9, reasoning: 4 } };
const CUT = (said) => said.match(/[\s\S]{1,5}/gu);
const CREDENTIALS = { openai: 'authorization', anthropic: 'x-api-key', gemini: 'x-goog-api-key', cohere: 'authorization', ollama: 'authorization' };
const credential = (provider, key) => [CREDENTIALS[provider], CREDENTIALS[provider] === 'authorization' ? `Bearer ${key}` : key];
const FLAT = underValgrind || /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') ? 512 << 20 : 2 << 20;

async function setup(s, { config = {}, more = {} } = {}) {
	const peer = await s.peer();
	const each = Object.fromEntries(PROVIDERS.map((p) => [p, more]));
	const d = await s.daemon({ providers: providersAt(peer, each), ...config });
	const seen = [], at = { peer, d, seen, answer: ANSWER };
	provide(peer, () => at.answer, { cut: CUT, seen });
	at.ask = (path, model, { json, ...options } = {}) => s.request(d, { path, json: ask(path, model, json), ...options,
		headers: { Connection: 'close', ...options.headers } });
	return at;
}
// The text that a stream of this protocol has told, and whether it has ended as a whole one does.
function told(path, reply) {
	const all = reply.events.map((e) => (e.data === '[DONE]' ? e : JSON.parse(e.data)));
	if (path === MESSAGES)
		return { text: all.map((e) => e.delta?.text ?? '').join(''), ended: all.some((e) => e.type === 'message_stop' || Boolean(e.delta?.stop_reason)),
			failed: all.some((e) => e.type === 'error') };
	return { text: all.map((e) => e.choices?.[0]?.delta?.content ?? e.choices?.[0]?.text ?? '').join(''),
		ended: all.some((e) => e.data === '[DONE]' || Boolean(e.choices?.[0]?.finish_reason)), failed: all.some((e) => e.error) };
}

// ---- heads

scenario('a credential stands in the provider\'s own field, and in no other', async (s) => {
	for (const policy of ['provider', 'client', 'client-or-provider']) {
		const at = await setup(s, { more: { credential: policy } });
		for (const [path, provider] of PAIRS)
			for (const headers of [{ Authorization: 'Bearer sk-mine' }, { 'x-api-key': 'sk-mine' }, {}]) {
				const mine = policy !== 'provider' && Object.keys(headers).length > 0;
				const reply = await at.ask(path, provider, { headers });
				const none = policy === 'client' && !mine;
				assert.equal(reply.status, 200, reply.text);
				const { request } = at.seen.at(-1);
				const got = ['authorization', 'x-api-key', 'x-goog-api-key', 'api-key'].map((n) => [n, request.header(n)]).filter(([, v]) => v !== undefined);
				assert.deepEqual(got, none ? [] : [credential(provider, mine ? 'sk-mine' : `sk-${provider}`)], `${policy} ${path} ${provider}`);
				assert.ok(!/[?&]key=/.test(request.target));
			}
	}
});

scenario('what the provider cannot be told is named in a field, or refused', async (s) => {
	const at = await setup(s);
	const more = { logit_bias: { 1: 2 }, prediction: { type: 'content', content: 'x' }, unheard_of: 1, store: false, user: 'u-1' };
	for (const provider of others(CHAT)) {
		const reply = await at.ask(CHAT, provider, { json: more });
		assert.equal(reply.status, 200, reply.text);
		const names = (reply.header('x-api-router-dropped') ?? '').split(', ');
		for (const name of ['logit_bias', 'prediction', 'unheard_of'])
			assert.ok(names.includes(name), `${provider}: ${names}`);
		for (const name of ['model', 'messages', 'max_tokens', 'stream', 'store'])
			assert.ok(!names.includes(name), `${provider}: ${names}`);
		assert.equal(names.includes('user'), provider !== 'anthropic', `${provider}: ${names}`);
		assert.ok(!at.seen.at(-1).request.text.includes('unheard_of'));
		const plain = await at.ask(CHAT, provider);
		assert.equal(plain.header('x-api-router-dropped'), undefined, 'nothing was left out');
		const stream = await at.ask(CHAT, provider, { json: { ...more, stream: true } });
		assert.ok(stream.header('x-api-router-dropped').includes('logit_bias'));
	}
	// Claude Code cannot leave these out: nobody is told.
	const silent = await at.ask(MESSAGES, 'openai', { json: { context_management: { edits: [] }, metadata: { user_id: 'u' } } });
	assert.equal(silent.status, 200, silent.text);

	const strict = await setup(s, { more: { unsupported: 'reject' } });
	for (const provider of others(CHAT)) {
		const reply = await strict.ask(CHAT, provider, { json: { logit_bias: { 1: 2 } } });
		assert.deepEqual([reply.status, reply.json.error.type, reply.json.error.param], [400, 'invalid_request_error', 'logit_bias'], provider);
		assert.match(reply.json.error.message, /logit_bias/);
		assert.equal((await strict.ask(CHAT, provider, { json: { temperature: 0.5 } })).status, 200);
	}
	assert.equal(strict.seen.length, others(CHAT).length, 'the provider was not asked for the others');
});

scenario('a request id of ours, and the provider\'s beside it', async (s) => {
	const at = await setup(s);
	for (const field of ['request-id', 'x-request-id'])
		for (const [path, provider] of PAIRS) {
			at.answer = { status: 200, headers: { [field]: 'req_theirs' }, body: '' };
			const d = dialects[provider];
			at.answer.body = d.reply(ANSWER, provider, path === COMPLETIONS);
			for (const failing of [false, true]) {
				if (failing)
					at.answer = { headers: { [field]: 'req_theirs' }, ...d.error(429, 'later') };
				const reply = await at.ask(path, provider, { headers: { 'x-request-id': 'mine-1' } });
				assert.equal(reply.status, failing ? 429 : 200, reply.text);
				assert.deepEqual(reply.headers('x-request-id'), ['mine-1']);
				assert.deepEqual(reply.headers('request-id'), path === MESSAGES ? ['mine-1'] : []);
				assert.deepEqual(reply.headers('x-upstream-request-id'), ['req_theirs'], `${path} ${provider} ${field}`);
				assert.equal(at.seen.at(-1).request.header('x-request-id'), 'mine-1');
				if (failing && path === MESSAGES)
					assert.equal(reply.json.request_id, 'mine-1');
			}
		}
});

scenario('when to come again: as the provider says it, in fields or in Gemini\'s details', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const status of [429, 503])
			for (const [headers, after, ms] of [[{ 'retry-after': '7' }, '7', undefined], [{ 'retry-after-ms': '1500' }, undefined, '1500'],
				[{ 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }, 'Wed, 21 Oct 2026 07:28:00 GMT', undefined], [{}, undefined, undefined]]) {
				at.answer = { headers, ...dialects[provider].error(status, 'later') };
				const reply = await at.ask(path, provider);
				assert.equal(reply.status, status === 503 && path === MESSAGES ? 529 : status);
				assert.deepEqual([reply.header('retry-after'), reply.header('retry-after-ms')], [after, ms], `${path} ${provider} ${status}`);
			}
	for (const path of Object.keys(OWN)) {
		const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34.074824224s' }];
		at.answer = { status: 429, body: { error: { code: 429, message: 'Quota exceeded.', status: 'RESOURCE_EXHAUSTED', details } } };
		const reply = await at.ask(path, 'gemini');
		assert.deepEqual([reply.status, reply.header('retry-after'), reply.header('retry-after-ms')], [429, '35', '34075']);
		assert.match(reply.json.error.message, /Quota exceeded/);
	}
});

scenario('quotas: in the client\'s words where they are the client\'s, else nobody\'s', async (s) => {
	const later = new Date(Date.now() + 3600000).toISOString().replace(/\.\d+Z/, 'Z');
	const theirs = {
		openai: { 'x-ratelimit-limit-requests': '100', 'x-ratelimit-remaining-requests': '99', 'x-ratelimit-reset-requests': '1h0m0s', 'x-ratelimit-limit-tokens': '5000' },
		anthropic: { 'anthropic-ratelimit-requests-limit': '100', 'anthropic-ratelimit-requests-remaining': '99', 'anthropic-ratelimit-requests-reset': later,
			'anthropic-ratelimit-tokens-limit': '5000' },
	};
	for (const [policy, shown] of [['provider', false], ['client', true]]) {
		const at = await setup(s, { more: { credential: policy } });
		for (const [path, provider] of [[CHAT, 'anthropic'], [MESSAGES, 'openai']])
			for (const failing of [false, true]) {
				at.answer = { headers: theirs[provider], ...(failing ? dialects[provider].error(429, 'later') : { status: 200, body: dialects[provider].reply(ANSWER, 'm') }) };
				const reply = await at.ask(path, provider, { headers: { Authorization: 'Bearer sk-mine' } });
				assert.equal(reply.status, failing ? 429 : 200);
				const limits = reply.fields.filter(([name]) => /ratelimit/i.test(name)).map(([name, value]) => [name.toLowerCase(), value]);
				if (!shown) {
					assert.deepEqual(limits, [], 'the router\'s own quotas');
					continue;
				}
				const { [path === CHAT ? 'x-ratelimit-reset-requests' : 'anthropic-ratelimit-requests-reset']: reset, ...counts } = Object.fromEntries(limits);
				assert.deepEqual(counts, path === CHAT
					? { 'x-ratelimit-limit-requests': '100', 'x-ratelimit-remaining-requests': '99', 'x-ratelimit-limit-tokens': '5000' }
					: { 'anthropic-ratelimit-requests-limit': '100', 'anthropic-ratelimit-requests-remaining': '99', 'anthropic-ratelimit-tokens-limit': '5000' });
				if (path === CHAT)
					assert.match(reset, /^(59m\d+s|60m0s)$/);
				else
					assert.ok(Math.abs(Date.parse(reset) - Date.now() - 3600000) < 60000, reset);
			}
	}
});

scenario('fields of the provider\'s dialect do not cross, nor the client\'s', async (s) => {
	const at = await setup(s);
	at.answer = { status: 200, headers: { 'openai-organization': 'org-1', 'openai-version': '2020-10-01', 'x-other': 'y' }, body: dialects.openai.reply(ANSWER, 'm') };
	const reply = await at.ask(MESSAGES, 'openai', { headers: { 'anthropic-version': '2026-10-21', 'anthropic-beta': 'a,b' } });
	assert.equal(reply.status, 200, reply.text);
	assert.ok(reply.names.every((name) => !name.startsWith('openai-')), `${reply.names}`);
	assert.equal(reply.header('content-type'), 'application/json');
	assert.ok(at.seen.at(-1).request.names.every((name) => !name.startsWith('anthropic-')), `${at.seen.at(-1).request.names}`);
});

// ---- errors

// What a provider says, and how a client of each protocol hears it: [status, type, code of OpenAI's, what its message has].
const context = 'This model\'s maximum context length is 8192 tokens.';
const KINDS = [
	['openai', 400, { error: { message: context, type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' } },
		[400, 'invalid_request_error', 'context_length_exceeded', /maximum context length/], [400, 'invalid_request_error', undefined, /^prompt is too long: .*maximum context length/]],
	['anthropic', 400, { type: 'error', error: { type: 'invalid_request_error', message: 'prompt is too long: 210000 tokens > 200000 maximum' } },
		[400, 'invalid_request_error', 'context_length_exceeded', /^prompt is too long: 210000/], null],
	['gemini', 400, { error: { code: 400, message: 'The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).', status: 'INVALID_ARGUMENT' } },
		[400, 'invalid_request_error', 'context_length_exceeded', /input token count/], [400, 'invalid_request_error', undefined, /^prompt is too long: The input token count/]],
	['cohere', 400, { message: 'too many tokens: total number of tokens cannot exceed 128000' },
		[400, 'invalid_request_error', 'context_length_exceeded', /too many tokens/], [400, 'invalid_request_error', undefined, /^prompt is too long: too many tokens/]],
	['openai', 429, { error: { message: 'You exceeded your current quota.', type: 'insufficient_quota', param: null, code: 'insufficient_quota' } },
		null, [402, 'billing_error', undefined, /exceeded your current quota/]],
	['anthropic', 400, { type: 'error', error: { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' } },
		[429, 'insufficient_quota', 'insufficient_quota', /credit balance/], null],
	['cohere', 402, { message: 'Please add a payment method.' },
		[429, 'insufficient_quota', 'insufficient_quota', /payment/], [402, 'billing_error', undefined, /payment/]],
	['gemini', 400, { error: { code: 400, message: 'API key not valid. Please pass a valid API key.', status: 'INVALID_ARGUMENT',
		details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }] } },
	[502, 'server_error', 'upstream_error', /credential|key/], [502, 'api_error', undefined, /credential|key/]],
	['cohere', 498, { message: 'invalid api token' }, [502, 'server_error', 'upstream_error', /credential|key/], [502, 'api_error', undefined, /credential|key/]],
	['openai', 400, { error: { message: 'filtered', type: 'invalid_request_error', param: 'prompt', code: 'content_filter' } },
		null, [400, 'invalid_request_error', undefined, /filtered/]],
	['ollama', 404, { error: 'model "nope" not found' }, [404, 'invalid_request_error', 'model_not_found', /nope/], [404, 'not_found_error', undefined, /nope/]],
	['anthropic', 529, { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, [503, 'server_error', 'overloaded', /Overloaded/], null],
	['ollama', 413, { error: 'too big' }, [413, 'invalid_request_error', 'request_too_large', /too big/], [413, 'request_too_large', undefined, /too big/]],
	['gemini', 504, { error: { code: 504, message: 'late', status: 'DEADLINE_EXCEEDED' } }, [504, 'server_error', 'timeout', /late/], [504, 'timeout_error', undefined, /late/]],
	['gemini', 400, [{ error: { code: 400, message: 'in a list', status: 'INVALID_ARGUMENT' } }], [400, 'invalid_request_error', null, /in a list/],
		[400, 'invalid_request_error', undefined, /in a list/]],
	['openai', 502, '<html>Bad gateway</html>', null, [502, 'api_error', undefined, /HTTP 502 from upstream/]],
	['openai', 302, '', null, [502, 'api_error', undefined, /redirect, which is not followed/]],
];

scenario('every kind of error is told in the client\'s words', async (s) => {
	const at = await setup(s);
	for (const [provider, status, body, openai, anthropic] of KINDS)
		for (const path of Object.keys(OWN).filter((p) => OWN[p] !== provider))
			for (const stream of [false, true]) {
				at.answer = { status, body, headers: status === 302 ? { Location: 'http://127.0.0.1:1/' } : {} };
				const before = at.seen.length;
				const reply = await at.ask(path, provider, { json: { stream } });
				assert.equal(at.seen.length, before + 1, 'it is asked once');
				const { type, code, message, ...rest } = reply.json.error, [expected, ...more] = path === MESSAGES ? anthropic : openai;
				assert.deepEqual([reply.status, type, code], [expected, more[0], more[1]], `${path} ${provider} ${status}: ${reply.text}`);
				assert.match(message, more[2]);
				assert.deepEqual(Object.keys(rest), path === MESSAGES ? [] : ['param']);
				assert.equal(reply.json.type, path === MESSAGES ? 'error' : undefined);
				if (type === 'insufficient_quota' || type === 'billing_error')
					assert.equal(reply.header('x-should-retry'), 'false');
			}
});

scenario('what a client may not see of the provider\'s words is masked', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		at.answer = dialects[provider].error(400, 'Bad key sk-abcdefghijklmnop at https://x.test/v1?key=AIzaSyA1234567890 of org-AbCdEf123456');
		const reply = await at.ask(path, provider);
		assert.ok(!/abcdefghijklmnop|AIzaSyA|AbCdEf123456/.test(reply.text), reply.text);
		assert.match(reply.json.error.message, /Bad key \*\*\*/);
	}
});

// ---- codings

const CODINGS = { gzip: gzipSync, deflate: deflateSync };

for (const [coding, code] of Object.entries(CODINGS))
	scenario(`bodies that come in ${coding} unasked are read: whole, streamed, and errors`, async (s) => {
		const at = await setup(s);
		for (const [path, provider] of PAIRS) {
			const d = dialects[provider], legacy = path === COMPLETIONS && provider === 'ollama';
			at.peer.serve(async (request, conn) => {
				assert.equal(request.header('accept-encoding'), 'identity');
				const headers = { 'Content-Encoding': coding };
				if (at.failing)
					return { status: 429, headers, body: code(d.error(429, 'come later').body) };
				if (!wantsStream(provider, request))
					return { headers, body: code(d.reply(ANSWER, provider, legacy)) };
				const all = code(d.stream(ANSWER, provider, CUT, legacy).join(''));
				await conn.send(streamHead({ 'Content-Type': d.type, ...headers }));
				for (let i = 0; i < all.length; i += 20)
					await conn.send(chunk(all.subarray(i, i + 20)));
				await conn.send(LAST_CHUNK);
			});
			at.failing = false;
			const whole = await at.ask(path, provider);
			assert.equal(whole.status, 200, whole.text);
			assert.equal(whole.header('content-encoding'), undefined);
			assert.ok(whole.text.includes(ANSWER.parts[0].text));
			const stream = await at.ask(path, provider, { json: { stream: true } });
			assert.equal(stream.header('content-encoding'), undefined);
			assert.deepEqual([told(path, stream).text, told(path, stream).ended], [ANSWER.parts[0].text, true], `${path} ${provider}`);
			at.failing = true;
			const error = await at.ask(path, provider);
			assert.equal(error.status, 429);
			assert.match(error.json.error.message, /come later/);
		}
	});

scenario('a coding that is broken, cut, or unknown is a bad answer', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		const body = dialects[provider].reply(ANSWER, provider, path === COMPLETIONS), good = gzipSync(body);
		const broken = Buffer.concat([good.subarray(0, 12), Buffer.alloc(20, 0xff), good.subarray(32)]);
		for (const [coding, sent] of [['gzip', good.subarray(0, -12)], ['gzip', broken], ['gzip', Buffer.from(body)], ['br', brotliCompressSync(body)]]) {
			at.answer = { status: 200, headers: { 'Content-Encoding': coding }, body: sent };
			const reply = await at.ask(path, provider);
			assert.equal(reply.status, 502, `${path} ${provider} ${coding}: ${reply.text}`);
			assert.ok(!reply.text.includes('one two'));
		}
	}
});

// ---- answers of the other kind

scenario('a provider that answers whole where a stream was asked, or streams where none was: the client gets what it asked for', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		const d = dialects[provider], legacy = path === COMPLETIONS;
		at.peer.serve(async (request, conn) => {
			if (wantsStream(provider, request))
				return { body: d.reply(ANSWER, provider, legacy) };
			await conn.send(streamHead({ 'Content-Type': d.type }));
			await conn.send(chunk(d.stream(ANSWER, provider, CUT, legacy).join('')));
			await conn.send(LAST_CHUNK);
		});
		const stream = await at.ask(path, provider, { json: { stream: true } });
		assert.match(stream.header('content-type'), /^text\/event-stream/);
		assert.deepEqual(told(path, stream), { text: ANSWER.parts[0].text, ended: true, failed: false }, `${path} ${provider}`);
		const whole = await at.ask(path, provider);
		assert.match(whole.header('content-type'), /^application\/json/);
		const said = path === MESSAGES ? whole.json.content[0].text : whole.json.choices[0].text ?? whole.json.choices[0].message.content;
		assert.equal(said, ANSWER.parts[0].text, `${path} ${provider}`);
	}
});

// ---- streams that break off

// What says, in the provider's words, that the answer is whole: behind it a missing end is no loss.
const FINISHED = {
	openai: /"finish_reason":"/, anthropic: /"stop_reason":"/, gemini: /"finishReason"/, cohere: /message-end/, ollama: /"done":true/,
};

for (const [path, provider] of PAIRS)
	scenario(`${path} at ${provider}: a stream that breaks off never looks like a normal stop`, async (s) => {
		const at = await setup(s);
		const d = dialects[provider], legacy = path === COMPLETIONS;
		const answer = { ...ANSWER, parts: [...(legacy ? [] : [{ reasoning: 'hm' }]), ...ANSWER.parts,
			...(legacy ? [] : [{ call: { id: 'call_1', name: 'run', args: '{"a":[1,2,3]}' } }])] };
		const events = d.stream(answer, provider, CUT, legacy);
		for (let n = 0; n < events.length; n++)
			for (const how of ['end', 'cut', 'middle']) {
				// Well ended, broken off, or in the middle of an event.
				const sent = events.slice(0, n).join('') + (how === 'middle' ? events[n].slice(0, Math.floor(events[n].length / 2)) : '');
				at.peer.serve(async (request, conn) => {
					await conn.send(streamHead({ 'Content-Type': d.type }));
					if (sent)
						await conn.send(chunk(sent));
					if (how === 'cut')
						conn.cut();
					else
						await conn.send(LAST_CHUNK);
				});
				const reply = await at.ask(path, provider, { json: { stream: true } });
				const name = `behind event ${n} of ${events.length}, ${how}`;
				if (FINISHED[provider].test(events.slice(0, n).join('')) || (provider === 'ollama' && FINISHED.ollama.test(sent) && how !== 'middle'))
					continue;
				if (reply.status !== 200) {
					assert.ok(reply.status >= 500, `${name}: ${reply.status}`);
					assert.ok(reply.json.error.message.length > 0);
					continue;
				}
				const { ended, failed } = told(path, reply);
				assert.ok(!ended, `${name}: ${reply.text}`);
				assert.ok(failed || reply.cut, `${name}: it is not told`);
			}
		await at.ask(path, provider, { json: { stream: true } }); // and the router goes on
	});

scenario('what is cut behind the end of a stream is no error', async (s) => {
	const at = await setup(s);
	const behind = { openai: 'data: [DO', anthropic: 'event: ping\ndata: {"ty', cohere: 'data: [DO', ollama: '{"mod' };
	for (const [path, provider] of PAIRS.filter(([, p]) => behind[p]))
		for (const how of ['end', 'cut']) {
			const d = dialects[provider], sent = d.stream(ANSWER, provider, CUT, path === COMPLETIONS).join('') + behind[provider];
			at.peer.serve(async (request, conn) => {
				await conn.send(streamHead({ 'Content-Type': d.type }));
				await conn.send(chunk(sent));
				if (how === 'cut')
					conn.cut();
				else
					await conn.send(LAST_CHUNK);
			});
			const reply = await at.ask(path, provider, { json: { stream: true } });
			assert.deepEqual(told(path, reply), { text: ANSWER.parts[0].text, ended: true, failed: false }, `${path} ${provider} ${how}: ${reply.text}`);
			assert.equal(reply.cut, false);
		}
});

scenario('an error as the first event has a status', async (s) => {
	const at = await setup(s);
	const first = {
		openai: [dialects.openai.midError(), 502, 502], gemini: [dialects.gemini.midError(), 503, 529], cohere: [dialects.cohere.midError(), 502, 502],
		ollama: [dialects.ollama.midError(), 502, 502], anthropic: [dialects.anthropic.midError(), 503, 529],
	};
	for (const [path, provider] of PAIRS) {
		const [event, openai, anthropic] = first[provider];
		at.peer.serve(async (request, conn) => {
			await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
			await conn.send(chunk(event));
			await conn.send(LAST_CHUNK);
		});
		const reply = await at.ask(path, provider, { json: { stream: true } });
		assert.equal(reply.status, path === MESSAGES ? anthropic : openai, `${path} ${provider}: ${reply.text}`);
		assert.match(reply.json.error.message, /broken inside/);
		assert.match(reply.header('content-type'), /^application\/json/);
	}
});

scenario('an error in the middle of a stream is its last event, and the message is whole', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		const d = dialects[provider], events = d.stream(ANSWER, provider, CUT, path === COMPLETIONS);
		const client = await s.connect(at.d);
		let sender;
		at.peer.serve(async (request, conn) => {
			sender = conn;
			await conn.send(streamHead({ 'Content-Type': d.type }));
			await conn.send(chunk(events.slice(0, Math.ceil(events.length / 2)).join('')));
		});
		await client.request({ path, json: ask(path, provider, { stream: true }) });
		const reply = await client.readHead();
		await reply.until('one');
		await sender.send(chunk(d.midError()));
		await sender.send(LAST_CHUNK);
		await reply.finish();
		assert.equal(reply.cut, false, `${path} ${provider}`);
		const { ended, failed } = told(path, reply);
		assert.ok(!ended && failed, reply.text);
		assert.match(reply.events.at(-1).data, /broken inside/);
		assert.equal(reply.events.at(-1).event, path === MESSAGES ? 'error' : undefined);
		assert.equal((await at.d.waitAccess(reply.header('x-request-id'))).end, 'upstream_error');
		client.destroy();
	}
});

// ---- while it runs

scenario('one connection of a client for answers of every kind, one after the other', async (s) => {
	const at = await setup(s);
	const client = await s.connect(at.d);
	for (const [path, provider] of PAIRS)
		for (const [answer, stream, status] of [[ANSWER, false, 200], [ANSWER, true, 200], [{ error: { status: 400, message: 'no' } }, true, 400], [ANSWER, true, 200]]) {
			at.answer = answer;
			const reply = await client.exchange({ path, json: ask(path, provider, { stream }) });
			assert.deepEqual([reply.status, reply.cut], [status, false]);
			if (stream && status === 200)
				assert.deepEqual(told(path, reply), { text: ANSWER.parts[0].text, ended: true, failed: false });
		}
	assert.ok(at.peer.connections.length <= PROVIDERS.length, `${at.peer.connections.length} connections to the provider for ${at.seen.length} requests`);
});

scenario('an HTTP/1.0 client gets a translated stream up to the close; a cut one ends in an error', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const breaks of [undefined, 'cut']) {
			const client = await s.connect(at.d);
			at.answer = { ...ANSWER, breaks, begun: breaks && (() => until(() => client.total > 0, 'it has begun')) };
			await client.request({ path, json: ask(path, provider, { stream: true }), version: 'HTTP/1.0' });
			const reply = await client.readReply();
			assert.deepEqual([reply.status, reply.framing], [200, 'close'], `${path} ${provider}`);
			const { ended, failed } = told(path, reply);
			assert.deepEqual([ended, failed], breaks ? [false, true] : [true, false], `${path} ${provider}`);
			client.destroy();
		}
});

scenario('a provider whose head comes long before its first event', async (s) => {
	const at = await setup(s, { config: { stream: { heartbeat: 0.05 } } });
	for (const [path, provider] of PAIRS)
		for (const failing of [false, true]) {
			const d = dialects[provider];
			let sender;
			at.peer.serve(async (request, conn) => {
				sender = conn;
				await conn.send(streamHead({ 'Content-Type': d.type }));
			});
			const client = await s.connect(at.d);
			await client.request({ path, json: ask(path, provider, { stream: true }) });
			const reply = await client.readHead(); // with the first heartbeat, so that nobody thinks it has hung
			assert.equal(reply.status, 200);
			if (path !== MESSAGES)
				await reply.until(': keep-alive\n');
			await sender.send(chunk(failing ? d.midError() : d.stream(ANSWER, provider, CUT, path === COMPLETIONS).join('')));
			await sender.send(LAST_CHUNK);
			await reply.finish();
			const { text: said, ended, failed } = told(path, reply);
			assert.deepEqual([said, ended, failed, reply.cut], failing ? ['', false, true, false] : [ANSWER.parts[0].text, true, false, false], `${path} ${provider}`);
			if (path === MESSAGES && !failing)
				assert.equal(reply.events[0].event, 'message_start', 'no ping before it');
			client.destroy();
		}
});

scenario('large images arrive whole, and what is too large is refused', async (s) => {
	const at = await setup(s, { config: { limits: { reply_bytes: 1 << 20, event_bytes: 1 << 20 } } });
	const data = Buffer.alloc(6 << 20, 'image').toString('base64');
	for (const [path, provider] of PAIRS.filter(([p]) => p !== COMPLETIONS)) {
		const image = path === CHAT ? { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }
			: { type: 'image', source: { type: 'base64', media_type: 'image/png', data } };
		at.answer = ANSWER;
		const reply = await at.ask(path, provider, { json: { messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }, image] }] } });
		assert.equal(reply.status, 200, reply.text.slice(0, 500));
		assert.ok(at.seen.at(-1).request.text.includes(data), `${path} ${provider}`);
		const long = { ...ANSWER, parts: [{ text: 'y'.repeat(2 << 20) }] };
		at.peer.serve(async (request, conn) => {
			if (!wantsStream(provider, request))
				return { body: dialects[provider].reply(long, provider) };
			await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
			await conn.send(chunk(dialects[provider].stream(long, provider).join('')));
			await conn.send(LAST_CHUNK);
		});
		const refused = await at.ask(path, provider);
		assert.equal(refused.status, 502, refused.text.slice(0, 500));
		assert.match(refused.json.error.message, /limits\.reply_bytes/);
		const stream = await at.ask(path, provider, { json: { stream: true } });
		assert.ok(stream.status === 502 || (told(path, stream).failed && !told(path, stream).ended), stream.text.slice(0, 500));
		provide(at.peer, () => at.answer, { cut: CUT, seen: at.seen });
	}
});

scenario('heartbeats of a translated stream: a comment, or a ping once the message has begun', async (s) => {
	const at = await setup(s, { config: { stream: { heartbeat: 0.05 } } });
	for (const [path, provider] of PAIRS) {
		const d = dialects[provider], events = d.stream(ANSWER, provider, CUT, path === COMPLETIONS), half = Math.ceil(events.length / 2);
		let sender;
		at.peer.serve(async (request, conn) => {
			sender = conn;
			await conn.send(streamHead({ 'Content-Type': d.type }));
			await conn.send(chunk(events.slice(0, half).join('')));
			await conn.send(chunk(events[half].slice(0, 10))); // a piece of an event must not hold them up
		});
		const client = await s.connect(at.d);
		await client.request({ path, json: ask(path, provider, { stream: true }) });
		const reply = await client.readHead();
		await reply.until('one');
		const beat = path === MESSAGES ? 'event: ping\ndata: {"type":"ping"}\n\n' : ': keep-alive\n';
		await reply.until(beat);
		await reply.until(beat);
		await sender.send(chunk(events[half].slice(10) + events.slice(half + 1).join('')));
		await sender.send(LAST_CHUNK);
		await reply.finish();
		assert.equal(reply.cut, false);
		const { text: said, ended, failed } = told(path, reply);
		assert.deepEqual([said, ended, failed], [ANSWER.parts[0].text, true, false], `${path} ${provider}`);
		if (path === MESSAGES)
			assert.equal(reply.events[0].event, 'message_start');
		client.destroy();
	}
});

for (const [path, provider] of [[CHAT, 'anthropic'], [MESSAGES, 'openai'], [CHAT, 'ollama'], [MESSAGES, 'gemini']])
	scenario(`${path} at ${provider}: a client that stops reading stops the provider, and memory stays flat`, async (s) => {
		const at = await setup(s);
		const d = dialects[provider], total = 100 << 20;
		const [front, back] = ['begin', 'end'].map((mark) => d.stream({ ...ANSWER, parts: [{ text: `${mark} ${'x'.repeat(60000)} ${mark}` }] }, provider));
		const at1 = front.findIndex((e) => e.includes('xxxx')), big = Buffer.from(front[at1]);
		let offered = 0, writing, sender;
		at.peer.serve(async (request, conn) => {
			sender = conn;
			await conn.send(streamHead({ 'Content-Type': d.type }));
			await conn.send(chunk(front.slice(0, at1 + 1).join('')));
			writing = (async () => {
				for (; offered < total; offered += big.length)
					await conn.send(chunk(big));
				await conn.send(Buffer.concat([chunk(back.slice(at1 + 1).join('')), LAST_CHUNK]));
			})();
		});
		const client = await s.connect(at.d);
		await client.request({ path, json: ask(path, provider, { stream: true }) });
		const reply = await client.readHead();
		await reply.until('begin');
		client.pause();
		const before = at.d.pss();
		let last = -1;
		await until(async () => {
			const same = offered === last;
			last = offered;
			await new Promise((resolve) => setTimeout(resolve, 200));
			return same && offered > 0;
		}, 'the provider is held up');
		assert.ok(offered < 32 << 20, `the provider could write ${offered} bytes`);
		assert.ok(at.d.pss() - before < FLAT, `the daemon grew by ${at.d.pss() - before} bytes`);
		let got = 0, tail = Buffer.alloc(0);
		const ended = new Promise((resolve) => {
			client.socket.removeAllListeners('data');
			client.socket.on('data', (data) => {
				got += data.length;
				tail = Buffer.concat([tail, data]).subarray(-600);
				if (tail.includes('\r\n0\r\n\r\n'))
					resolve();
			});
		});
		client.resume();
		await writing;
		await ended;
		assert.ok(got > total * 0.9, `${got} bytes came`);
		assert.match(tail.toString(), path === MESSAGES ? /message_stop/ : /\[DONE\]/);
		assert.equal((await at.d.waitAccess(reply.header('x-request-id'))).end, 'complete');
		assert.ok(at.d.pss() - before < FLAT, 'and flat afterwards');
		assert.ok(sender);
	});

// Tokens are counted apart from those that were cached, the counters' also from those of reasoning, where the provider
// tells them.
const fresh = (provider) => (provider === 'ollama' ? 20 : 15);
const spoken = (provider) => (['cohere', 'ollama'].includes(provider) ? 9 : 5);
scenario('the access log and the counters know the tokens of a translated answer', async (s) => {
	const at = await setup(s, { config: { listen: [{ address: '127.0.0.1', port: 0, admin: true }] } });
	for (const [path, provider] of PAIRS)
		for (const stream of [false, true]) {
			const reply = await at.ask(path, provider, { json: { stream } });
			assert.equal(reply.status, 200, reply.text);
			const line = await at.d.waitAccess(reply.header('x-request-id'));
			assert.deepEqual([line.path, line.provider, line.stream, line.end, line.usage], [path, provider, stream, 'complete', 'provider']);
			assert.deepEqual([line.input_tokens, line.output_tokens], [fresh(provider), 9], provider);
		}
	const metrics = (await s.request(at.d, { path: '/metrics' })).text;
	for (const provider of PROVIDERS)
		for (const [kind, each] of [['input', fresh], ['output', spoken]]) {
			const [, count] = metrics.match(new RegExp(`tokens_total\\{provider="${provider}",[^}]*kind="${kind}"[^}]*\\} (\\d+)`));
			assert.equal(Number(count), each(provider) * at.seen.filter((said) => said.dialect === provider).length, `${provider} ${kind}`);
		}
});

scenario('no tokens asked for: an empty message, and no provider is asked', async (s) => {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	const ask = { model: 'openai', max_tokens: 0, messages: [{ role: 'user', content: 'Hi' }] };
	const client = await s.connect(daemon);
	const whole = await client.exchange({ path: '/v1/messages', json: ask });
	assert.equal(whole.status, 200);
	assert.deepEqual([whole.json.type, whole.json.content, whole.json.stop_reason, whole.json.usage.output_tokens], ['message', [], 'max_tokens', 0]);
	const stream = await client.exchange({ path: '/v1/messages', json: { ...ask, stream: true } });
	assert.deepEqual(stream.events.map((e) => JSON.parse(e.data).type), ['message_start', 'ping', 'message_delta', 'message_stop']);
	const wrong = await client.exchange({ path: '/v1/messages', json: { ...ask, messages: 7 } });
	assert.equal(wrong.status, 400);
	assert.equal(peer.connections.length, 0);
	const line = await daemon.waitAccess((l) => l.stream);
	assert.deepEqual([line.status, line.end, line.attempts], [200, 'complete', 0]);
});
