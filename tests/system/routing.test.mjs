// routing: which provider and which model a request goes to: routes by path and model, targets by weight, the providers' own models,
// provider/model names, model_map; what is listed; and the paths that a provider's dialect lacks.

import assert from 'node:assert/strict';
import { scenario } from '../lib/scenario.mjs';

const CHAT = '/v1/chat/completions';
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, ...more });
const echo = { dialect: 'echo', models: ['echo'] };

scenario('the first route that fits by path and model, then the providers\' models, then provider/model', async (s) => {
	const peers = { one: await s.peer(), two: await s.peer() };
	const asked = [];
	for (const [name, peer] of Object.entries(peers))
		peer.serve((request) => {
			asked.push([name, request.json.model]);
			return { body: '{"id":"x"}' };
		});
	const d = await s.daemon({
		providers: {
			one: openai(peers.one, { models: ['listed', 'named'], model_map: [{ from: 'old', to: 'new' }] }),
			two: openai(peers.two, { models: ['listed', 'own', 'org/model'] }),
		},
		routes: [
			{ path: '/v1/audio/*', provider: 'two' },
			{ path: '/v1/emb*', model: 'text-*', provider: 'two' },
			{ model: 'named', targets: [{ provider: 'two', model: 'target' }] },
			{ model: 'gpt-*', provider: 'one' },
			{ model: 'old', provider: 'one' },
			{ model: 'a*c*e', provider: 'two' },
		],
	});
	for (const [path, model, provider, target] of [
		[CHAT, 'listed', 'one', 'listed'], [CHAT, 'own', 'two', 'own'], [CHAT, 'named', 'two', 'target'], [CHAT, 'gpt-4', 'one', 'gpt-4'],
		[CHAT, 'old', 'one', 'new'], [CHAT, 'abcde', 'two', 'abcde'], [CHAT, 'two/listed', 'two', 'listed'], [CHAT, 'one/x/y', 'one', 'x/y'],
		[CHAT, 'org/model', 'two', 'org/model'], ['/v1/embeddings', 'text-1', 'two', 'text-1'], ['/v1/audio/speech', 'gpt-4', 'two', 'gpt-4'],
		['/v1/audio/speech', undefined, 'two', undefined],
	]) {
		const reply = await s.request(d, { path, json: { model } });
		const shown = `${path} ${model}`;
		assert.equal(reply.status, 200, shown);
		assert.deepEqual(asked.pop(), [provider, target], shown);
		assert.equal(reply.header('x-api-router-provider'), provider, shown);
		assert.equal(reply.header('x-api-router-model'), target, shown);
		const line = await d.waitAccess(reply.header('x-request-id'));
		assert.deepEqual([line.model, line.provider, line.target_model], [model ?? null, provider, target ?? null], shown);
	}
	for (const [path, model] of [[CHAT, 'text-1'], [CHAT, 'Listed'], [CHAT, 'three/listed'], [CHAT, 'One/listed'], [CHAT, 'one/'], [CHAT, '/listed'], [CHAT, 'abcd'], [CHAT, '']]) {
		const reply = await s.request(d, { path, json: { model } });
		assert.deepEqual([reply.status, reply.json.error.code, reply.json.error.param], [404, 'model_not_found', 'model'], `${path} ${model}`);
	}
	assert.equal((await s.request(d, { path: CHAT, json: {} })).json.error.param, 'model', 'no route takes it without a model');
	assert.equal(asked.length, 0);
	const list = (await s.request(d, { path: '/v1/models' })).json.data;
	assert.deepEqual(list.map((m) => [m.id, m.owned_by]),
		[['listed', 'one'], ['named', 'one'], ['own', 'two'], ['org/model', 'two'], ['old', 'one']], 'each name once, no patterns');
	assert.equal((await s.request(d, { path: '/v1/models/org/model' })).json.id, 'org/model');
});

scenario('targets are chosen by weight', async (s) => {
	const d = await s.daemon({
		providers: { echo: { dialect: 'echo' } },
		routes: [{ model: 'any', targets: [{ provider: 'echo', model: 'often', weight: 3 }, { provider: 'echo', model: 'seldom' }] }],
	});
	const client = await s.connect(d);
	const seen = { often: 0, seldom: 0 };
	for (let n = 0; n < 400; n++) {
		const reply = await client.exchange({ path: CHAT, json: { model: 'any', messages: [{ role: 'user', content: 'x' }] } });
		assert.equal(reply.json.model, reply.header('x-api-router-model'));
		seen[reply.header('x-api-router-model')]++;
	}
	assert.equal(seen.often + seen.seldom, 400);
	assert.ok(seen.seldom > 50 && seen.seldom < 150, `of 400 about 100: ${seen.seldom}`); // 100 ± 5.8 standard deviations
});

scenario('a path that the provider\'s dialect lacks is refused in the shape of the path', async (s) => {
	const peer = await s.peer();
	const d = await s.daemon({ providers: { echo, o: openai(peer, { models: ['o'] }), a: { dialect: 'anthropic', base_url: peer.url, models: ['a'] } } });
	for (const model of ['echo', 'o']) {
		const reply = await s.request(d, { path: '/v1/messages/count_tokens', json: { model, messages: [] } });
		assert.deepEqual([reply.status, reply.json.type, reply.json.error.type], [404, 'error', 'not_found_error'], model);
		assert.match(reply.json.error.message, /does not count tokens/);
	}
	for (const model of ['echo', 'a']) {
		const reply = await s.request(d, { path: '/v1/responses', json: { model, input: 'x' } });
		assert.deepEqual([reply.status, reply.json.error.type], [400, 'invalid_request_error'], model);
		assert.match(reply.json.error.message, /\/v1\/chat\/completions.*\.chat\(\)/);
	}
	assert.equal(peer.connections.length, 0);
});
