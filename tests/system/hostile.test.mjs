// hostile: requests and answers of which one value after the other is something else than it should be: a client hears of its
// mistake by name, a provider's nonsense is passed over or is a 502, and whatever comes back is well formed.

import assert from 'node:assert/strict';
import { PROVIDERS, dialects, provide, providersAt, text, vectorsAs } from '../lib/dialects.mjs';
import { streamHead } from '../lib/peer.mjs';
import { scenario } from '../lib/scenario.mjs';
import { LAST_CHUNK, chunk } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions', MESSAGES = '/v1/messages', COMPLETIONS = '/v1/completions', EMBED = '/v1/embeddings';
const FEW = [null, -1.5, 'x\u0000\ud83d', [null], {}], OTHER = [...FEW, true, 1e30, '', [], [[]], { x: 1 }];

// Every document that has one value, wherever it stands, replaced by each of the others: { at, value, doc }.
function* mutations(doc, at = [], others = OTHER) {
	for (const [key, value] of Object.entries(doc)) {
		for (const other of others)
			yield { at: [...at, key].join('.'), other, doc: replaced(doc, key, other) };
		yield { at: [...at, key].join('.'), other: 'nothing', doc: replaced(doc, key, undefined) };
		if (value && typeof value === 'object')
			for (const m of mutations(value, [...at, key], others))
				yield { ...m, doc: replaced(doc, key, m.doc) };
	}
}
function replaced(doc, key, value) {
	const copy = Array.isArray(doc) ? [...doc] : { ...doc };
	if (value === undefined && Array.isArray(copy))
		copy.splice(key, 1);
	else
		copy[key] = value;
	return copy;
}

const PNG = 'data:image/png;base64,iVBORw0KGgo=';
const REQUESTS = {
	[CHAT]: {
		max_tokens: 50, temperature: 0.5, top_p: 0.9, n: 1, stop: ['END'], seed: 1, user: 'u', logprobs: false, parallel_tool_calls: false,
		reasoning_effort: 'low', stream_options: { include_usage: true }, service_tier: 'auto',
		response_format: { type: 'json_schema', json_schema: { name: 'a', strict: true, schema: { type: 'object' } } },
		tool_choice: { type: 'function', function: { name: 'run' } },
		tools: [{ type: 'function', function: { name: 'run', description: 'd', strict: true, parameters: { type: 'object', properties: {} } } },
			{ type: 'custom', custom: { name: 'free', description: 'd' } }],
		messages: [
			{ role: 'system', content: 's' }, { role: 'user', name: 'n', content: [{ type: 'text', text: 't' }, { type: 'image_url', image_url: { url: PNG } }] },
			{ role: 'assistant', content: 'c', reasoning_content: 'r', thinking_blocks: [{ type: 'thinking', thinking: 't', signature: 's' }],
				tool_calls: [{ id: 'c1', type: 'function', function: { name: 'run', arguments: '{"a":1}' }, extra_content: { google: { thought_signature: 's' } } }] },
			{ role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: 'r' }] }, { role: 'user', content: 'go' },
		],
	},
	[MESSAGES]: {
		max_tokens: 50, temperature: 0.5, top_p: 0.9, top_k: 5, stop_sequences: ['END'], metadata: { user_id: 'u' }, service_tier: 'auto',
		system: [{ type: 'text', text: 's', cache_control: { type: 'ephemeral' } }], thinking: { type: 'enabled', budget_tokens: 2000 },
		output_config: { effort: 'low', format: { type: 'json_schema', schema: { type: 'object' } } },
		tool_choice: { type: 'tool', name: 'run', disable_parallel_tool_use: true },
		tools: [{ name: 'run', description: 'd', strict: true, input_schema: { type: 'object', properties: {} } }, { type: 'web_search_20250305', name: 'web_search' }],
		messages: [
			{ role: 'user', content: [{ type: 'text', text: 't' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
				{ type: 'document', title: 'd', source: { type: 'text', media_type: 'text/plain', data: 'x' } }] },
			{ role: 'assistant', content: [{ type: 'thinking', thinking: 't', signature: 's' }, { type: 'redacted_thinking', data: 'd' }, { type: 'text', text: 'c' },
				{ type: 'tool_use', id: 'c1', name: 'run', input: { a: 1 } }] },
			{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', is_error: true, content: [{ type: 'text', text: 'r' }] }, { type: 'text', text: 'go' }] },
		],
	},
	[COMPLETIONS]: { prompt: ['p'], max_tokens: 5, temperature: 1, n: 1, stop: 'END', echo: true, seed: 1, logit_bias: { 1: 1 }, stream_options: { include_usage: true } },
	[EMBED]: { input: ['a', 'b'], dimensions: 5, encoding_format: 'base64', user: 'u' },
};
const OWN = { [CHAT]: 'openai', [COMPLETIONS]: 'openai', [EMBED]: 'openai', [MESSAGES]: 'anthropic' };
const PAIRS = Object.keys(OWN).flatMap((path) => PROVIDERS.filter((p) => p !== OWN[path] && !(path === EMBED && p === 'anthropic')).map((p) => [path, p]));
const ANSWER = {
	parts: [{ reasoning: 'hm', signature: 'c2ln' }, { text: 'Hello there.' }, { call: { id: 'c1', name: 'run', args: '{"a":1}' } }],
	usage: { input: 20, cached: 5, output: 9, reasoning: 4 }, vectors: ['[0.5,1]', '[1,2]'],
};
// What came back can be read: as JSON, or as events of which each can.
function wellFormed(reply, name) {
	if (/^text\/event-stream/.test(reply.header('content-type')))
		return reply.events.forEach((e) => e.data === '[DONE]' || JSON.parse(e.data));
	try {
		return JSON.parse(reply.text);
	} catch (error) {
		throw new Error(`${name}: ${error.message}: ${reply.text}`);
	}
}

for (const [path, provider] of PAIRS)
	scenario(`${path} at ${provider}: requests with one wrong value`, async (s) => {
		const peer = await s.peer();
		const d = await s.daemon({ providers: providersAt(peer) });
		const client = await s.connect(d);
		provide(peer, (said) => ({ ...ANSWER, parts: ANSWER.parts.slice(1, 2), vectors: said.texts?.map(() => '[0.5,1]') }));
		for (const { at, other, doc } of mutations({ model: provider, ...REQUESTS[path] })) {
			if (at === 'model')
				continue;
			const name = `${path} ${provider}: ${at} is ${JSON.stringify(other)}`, before = peer.requests.length;
			const reply = await client.exchange({ path, json: doc });
			assert.ok([200, 400].includes(reply.status), `${name}: ${reply.status} ${reply.text}`);
			const answer = wellFormed(reply, name);
			assert.equal(peer.requests.length - before, reply.status === 200 ? 1 : 0, name);
			if (reply.status === 400) { // and says where; a tool without its name is missed by the choice
				const place = path === MESSAGES ? answer.error.message : answer.error.param;
				assert.ok(place?.includes(at.split('.')[0]) || (place?.includes('tool_choice') && at.startsWith('tools')), `${name}: ${reply.text}`);
			}
		}
	}, { ms: 120000 });

// The same for answers: whole ones, and each event of a stream. A value that says nothing may be passed over.
function* answers(path, provider) {
	const dialect = dialects[provider], legacy = path === COMPLETIONS;
	const whole = path === EMBED ? vectorsAs[provider](ANSWER.vectors, provider) : JSON.parse(dialect.reply(ANSWER, provider, legacy));
	for (const m of mutations(JSON.parse(text(whole))))
		yield { ...m, body: JSON.stringify(m.doc), stream: false };
	if (path === EMBED)
		return;
	const events = dialect.stream(ANSWER, provider, undefined, legacy);
	for (const [i, event] of events.entries()) {
		const from = event.indexOf('{'), to = event.lastIndexOf('}') + 1;
		for (const m of from < 0 ? [] : mutations(JSON.parse(event.slice(from, to)), [], FEW))
			yield { ...m, at: `event ${i}: ${m.at}`, stream: true,
				body: [...events.slice(0, i), event.slice(0, from) + JSON.stringify(m.doc) + event.slice(to), ...events.slice(i + 1)].join('') };
	}
}

for (const [path, provider] of PAIRS)
	scenario(`${path} at ${provider}: answers with one wrong value`, async (s) => {
		const peer = await s.peer();
		const d = await s.daemon({ providers: providersAt(peer) });
		let client = await s.connect(d), now;
		peer.serve(async (request, conn) => {
			if (!now.stream)
				return { body: now.body };
			await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
			await conn.send(Buffer.concat([chunk(now.body), LAST_CHUNK]));
		});
		for (now of answers(path, provider)) {
			const reply = await client.exchange({ path, json: { model: provider, ...REQUESTS[path], ...(now.stream ? { stream: true } : { stream_options: undefined }) } });
			const name = `${path} ${provider}: ${now.at} is ${JSON.stringify(now.other)}`;
			assert.ok(reply.status === 200 || reply.status >= 400, `${name}: ${reply.status}`);
			const answer = wellFormed(reply, name);
			if (reply.status !== 200)
				assert.ok(answer.error.message.length > 0, name);
			if (reply.cut) {
				assert.ok(reply.events.at(-1)?.data.includes('"error"'), `${name}: cut without a word`);
				client = await s.connect(d);
			}
		}
	}, { ms: 120000 });
