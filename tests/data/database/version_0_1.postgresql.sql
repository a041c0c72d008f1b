CREATE TABLE public.batch_lines (
    batch_id character varying(64) NOT NULL,
    line integer NOT NULL,
    custom_id text NOT NULL,
    request text NOT NULL,
    state character varying(16) NOT NULL,
    status_code integer,
    answer text
);
CREATE TABLE public.batches (
    id character varying(64) NOT NULL,
    tenant character varying(255) NOT NULL,
    caller text NOT NULL,
    endpoint character varying(64) NOT NULL,
    input_file_id character varying(64) NOT NULL,
    output_file_id character varying(64),
    error_file_id character varying(64),
    outputs_expire_s double precision,
    metadata text,
    errors text,
    model character varying(255),
    status character varying(16) NOT NULL,
    created_at double precision NOT NULL,
    expires_at double precision NOT NULL,
    in_progress_at double precision,
    finalizing_at double precision,
    completed_at double precision,
    failed_at double precision,
    expired_at double precision,
    cancelling_at double precision,
    cancelled_at double precision,
    total integer NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    lease_owner character varying(64),
    lease_until double precision
);
CREATE TABLE public.files (
    id character varying(64) NOT NULL,
    tenant character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    purpose character varying(32) NOT NULL,
    size_bytes bigint NOT NULL,
    created_at double precision NOT NULL,
    expires_at double precision NOT NULL
);
CREATE TABLE public.keys (
    id character varying(12) NOT NULL,
    digest bytea NOT NULL,
    previous_digest bytea,
    previous_until double precision,
    pepper character varying(16) NOT NULL,
    tenant character varying(64) NOT NULL,
    roles json NOT NULL,
    models json,
    note character varying(200) NOT NULL,
    created_at double precision NOT NULL,
    expires_at double precision,
    revoked_at double precision,
    rotated_at double precision,
    last_used_at double precision
);
CREATE TABLE public.response_items (
    item_id character varying(256) NOT NULL,
    response_id character varying(64) NOT NULL
);
CREATE TABLE public.responses (
    id character varying(64) NOT NULL,
    tenant character varying(255) NOT NULL,
    previous_id character varying(64),
    created_at integer NOT NULL,
    expires_at double precision NOT NULL,
    body text NOT NULL,
    items text NOT NULL
);
CREATE TABLE public.usage (
    id character varying NOT NULL,
    request_id character varying NOT NULL,
    at_ms bigint NOT NULL,
    tenant character varying NOT NULL,
    key_id character varying,
    model character varying NOT NULL,
    version integer,
    source character varying NOT NULL,
    endpoint character varying NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    seconds double precision NOT NULL,
    prompt_micros bigint,
    cached_micros bigint,
    completion_micros bigint,
    currency character varying NOT NULL,
    cost_micros bigint NOT NULL,
    outcome character varying NOT NULL
);
CREATE TABLE public.usage_day (
    tenant character varying NOT NULL,
    day integer NOT NULL,
    key_id character varying NOT NULL,
    model character varying NOT NULL,
    version integer NOT NULL,
    source character varying NOT NULL,
    endpoint character varying NOT NULL,
    outcome character varying NOT NULL,
    currency character varying NOT NULL,
    requests bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    seconds double precision NOT NULL,
    cost_micros bigint NOT NULL
);
INSERT INTO public.batch_lines VALUES ('batch-1', 1, 'a', '{}', 'pending', NULL, NULL);
INSERT INTO public.batches VALUES ('batch-1', 'acme', '{}', '/v1/chat/completions', 'file-1', NULL, NULL, NULL, NULL, NULL, NULL, 'in_progress', 1800000000, 2800000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 0, 0, 0, 0, 0, 0, NULL, NULL);
INSERT INTO public.files VALUES ('file-1', 'acme', 'in.jsonl', 'batch', 10, 1800000000, 2800000000);
INSERT INTO public.keys VALUES ('b09e1d783c86', '\xf076a476f74289fde6743a09b1ab1f0ef249567af72e126f07737cd313b19f5e', NULL, NULL, 'd178b4a6ec910068', 'acme', '["inference"]', NULL, 'for the shop', 1800000000, NULL, NULL, NULL, NULL);
INSERT INTO public.keys VALUES ('68075365dde8', '\x0c2fb2c152777cdb19cf7206b8ea95f2bd1746d538641393822d7820e2260022', NULL, NULL, 'd178b4a6ec910068', 'globex', '["inference"]', '["smollm2@8"]', 'Ünïcode 日本', 1800000000, NULL, 1800000000, NULL, NULL);
INSERT INTO public.keys VALUES ('41ebb4f1cdbd', '\x419e32451fc83d7e91812740c5afe4a84e72d6abb98cde74f1943433efc6f8c5', NULL, NULL, 'd178b4a6ec910068', 'acme', '["inference"]', NULL, '', 1800000000, NULL, NULL, NULL, NULL);
INSERT INTO public.response_items VALUES ('msg_0', 'resp_a');
INSERT INTO public.response_items VALUES ('msg_1', 'resp_a');
INSERT INTO public.responses VALUES ('resp_a', 'acme', NULL, 1800000000, 2800000000, '{"id":"resp_a","previous_response_id":null,"created_at":1800000000,"output":[{"id":"msg_1"}]}', '[{"id":"msg_0","type":"message"}]');
INSERT INTO public.usage VALUES ('resp_0000', 'req_0', 1790000000000, 'acme', NULL, 'smollm2', NULL, 'cache', 'chat', 10, 0, 0, 0, NULL, NULL, NULL, 'USD', 0, 'completed');
INSERT INTO public.usage VALUES ('resp_0001', 'req_1', 1790007200000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 11, 3, 0, 0.125, 150, 75, 600, 'USD', 11, 'completed');
INSERT INTO public.usage VALUES ('resp_0002', 'req_2', 1790014400000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 12, 6, 1, 0.25, 150, 75, 600, 'USD', 22, 'completed');
INSERT INTO public.usage VALUES ('resp_0003', 'req_3', 1790021600000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 13, 9, 1, 0.375, 150, 75, 600, 'USD', 33, 'completed');
INSERT INTO public.usage VALUES ('resp_0004', 'req_4', 1790028800000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 14, 12, 2, 0.5, 150, 75, 600, 'USD', 44, 'completed');
INSERT INTO public.usage VALUES ('resp_0005', 'req_5', 1790036000000, 'globex', 'b09e1d783c86', 'smollm2', NULL, 'engine', 'chat', 15, 15, 2, 0.625, 150, 75, 600, 'USD', 55, 'completed');
INSERT INTO public.usage VALUES ('resp_0006', 'req_6', 1790043200000, 'acme', NULL, 'smollm2', 8, 'engine', 'chat', 16, 18, 3, 0.75, 150, 75, 600, 'USD', 66, 'completed');
INSERT INTO public.usage VALUES ('resp_0007', 'req_7', 1790050400000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 17, 21, 3, 0.875, NULL, NULL, NULL, 'USD', 77, 'completed');
INSERT INTO public.usage VALUES ('resp_0008', 'req_8', 1790057600000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 18, 24, 4, 1, 150, 75, 600, 'USD', 88, 'completed');
INSERT INTO public.usage VALUES ('resp_0009', 'req_9', 1790064800000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 19, 27, 4, 1.125, 150, 75, 600, 'USD', 99, 'completed');
INSERT INTO public.usage VALUES ('resp_0010', 'req_10', 1790072000000, 'acme', 'b09e1d783c86', 'smollm2', NULL, 'engine', 'chat', 20, 30, 5, 1.25, 150, 75, 600, 'USD', 110, 'completed');
INSERT INTO public.usage VALUES ('resp_0011', 'req_11', 1790079200000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 21, 33, 5, 1.375, 150, 75, 600, 'USD', 121, 'completed');
INSERT INTO public.usage VALUES ('resp_0012', 'req_12', 1790086400000, 'acme', NULL, 'smollm2', 8, 'cache', 'chat', 22, 36, 6, 1.5, 150, 75, 600, 'USD', 132, 'completed');
INSERT INTO public.usage VALUES ('resp_0013', 'req_13', 1790093600000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 23, 39, 6, 1.625, 150, 75, 600, 'USD', 143, 'completed');
INSERT INTO public.usage VALUES ('resp_0014', 'req_14', 1790100800000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 24, 42, 7, 1.75, NULL, NULL, NULL, 'USD', 154, 'completed');
INSERT INTO public.usage VALUES ('resp_0015', 'req_15', 1790108000000, 'globex', NULL, 'smollm2', NULL, 'engine', 'chat', 25, 45, 7, 1.875, 150, 75, 600, 'USD', 165, 'completed');
INSERT INTO public.usage VALUES ('resp_0016', 'req_16', 1790115200000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 26, 48, 8, 2, 150, 75, 600, 'USD', 176, 'completed');
INSERT INTO public.usage VALUES ('resp_0017', 'req_17', 1790122400000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 27, 51, 8, 2.125, 150, 75, 600, 'USD', 187, 'completed');
INSERT INTO public.usage VALUES ('resp_0018', 'req_18', 1790129600000, 'acme', NULL, 'smollm2', 8, 'engine', 'chat', 28, 54, 9, 2.25, 150, 75, 600, 'USD', 198, 'completed');
INSERT INTO public.usage VALUES ('resp_0019', 'req_19', 1790136800000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 29, 57, 9, 2.375, 150, 75, 600, 'USD', 209, 'completed');
INSERT INTO public.usage VALUES ('resp_0020', 'req_20', 1790144000000, 'acme', 'b09e1d783c86', 'smollm2', NULL, 'cache', 'chat', 30, 60, 10, 2.5, 150, 75, 600, 'USD', 220, 'completed');
INSERT INTO public.usage VALUES ('resp_0021', 'req_21', 1790151200000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 31, 63, 10, 2.625, NULL, NULL, NULL, 'USD', 231, 'completed');
INSERT INTO public.usage VALUES ('resp_0022', 'req_22', 1790158400000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 32, 66, 11, 2.75, 150, 75, 600, 'USD', 242, 'completed');
INSERT INTO public.usage VALUES ('resp_0023', 'req_23', 1790165600000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 33, 69, 11, 2.875, 150, 75, 600, 'USD', 253, 'completed');
INSERT INTO public.usage VALUES ('resp_0024', 'req_24', 1790172800000, 'acme', NULL, 'smollm2', 8, 'cache', 'chat', 34, 72, 12, 3, 150, 75, 600, 'USD', 264, 'completed');
INSERT INTO public.usage VALUES ('resp_0025', 'req_25', 1790180000000, 'globex', 'b09e1d783c86', 'smollm2', NULL, 'engine', 'chat', 35, 75, 12, 3.125, 150, 75, 600, 'USD', 275, 'completed');
INSERT INTO public.usage VALUES ('resp_0026', 'req_26', 1790187200000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 36, 78, 13, 3.25, 150, 75, 600, 'USD', 286, 'completed');
INSERT INTO public.usage VALUES ('resp_0027', 'req_27', 1790194400000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 37, 81, 13, 3.375, 150, 75, 600, 'USD', 297, 'completed');
INSERT INTO public.usage VALUES ('resp_0028', 'req_28', 1790201600000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 38, 84, 14, 3.5, NULL, NULL, NULL, 'USD', 308, 'completed');
INSERT INTO public.usage VALUES ('resp_0029', 'req_29', 1790208800000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 39, 87, 14, 3.625, 150, 75, 600, 'USD', 319, 'completed');
INSERT INTO public.usage VALUES ('resp_0030', 'req_30', 1790216000000, 'acme', NULL, 'smollm2', NULL, 'engine', 'chat', 40, 90, 15, 3.75, 150, 75, 600, 'USD', 330, 'completed');
INSERT INTO public.usage VALUES ('resp_0031', 'req_31', 1790223200000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 41, 93, 15, 3.875, 150, 75, 600, 'USD', 341, 'completed');
INSERT INTO public.usage VALUES ('resp_0032', 'req_32', 1790230400000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 42, 96, 16, 4, 150, 75, 600, 'USD', 352, 'completed');
INSERT INTO public.usage VALUES ('resp_0033', 'req_33', 1790237600000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 43, 99, 16, 4.125, 150, 75, 600, 'USD', 363, 'completed');
INSERT INTO public.usage VALUES ('resp_0034', 'req_34', 1790244800000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 44, 102, 17, 4.25, 150, 75, 600, 'USD', 374, 'completed');
INSERT INTO public.usage VALUES ('resp_0035', 'req_35', 1790252000000, 'globex', 'b09e1d783c86', 'smollm2', NULL, 'engine', 'chat', 45, 105, 17, 4.375, NULL, NULL, NULL, 'USD', 385, 'completed');
INSERT INTO public.usage VALUES ('resp_0036', 'req_36', 1790259200000, 'acme', NULL, 'smollm2', 8, 'cache', 'chat', 46, 108, 18, 4.5, 150, 75, 600, 'USD', 396, 'completed');
INSERT INTO public.usage VALUES ('resp_0037', 'req_37', 1790266400000, 'globex', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 47, 111, 18, 4.625, 150, 75, 600, 'USD', 407, 'completed');
INSERT INTO public.usage VALUES ('resp_0038', 'req_38', 1790273600000, 'acme', 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 48, 114, 19, 4.75, 150, 75, 600, 'USD', 418, 'completed');
INSERT INTO public.usage VALUES ('resp_0039', 'req_39', 1790280800000, 'globex', NULL, 'smollm2', 8, 'engine', 'chat', 49, 117, 19, 4.875, 150, 75, 600, 'USD', 429, 'completed');
INSERT INTO public.usage_day VALUES ('acme', 20717, '', 'smollm2', 0, 'cache', 'chat', 'completed', 'USD', 1, 10, 0, 0, 0, 0);
INSERT INTO public.usage_day VALUES ('acme', 20717, 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 14, 12, 2, 0.5, 44);
INSERT INTO public.usage_day VALUES ('acme', 20717, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 12, 6, 1, 0.25, 22);
INSERT INTO public.usage_day VALUES ('acme', 20718, '', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 22, 36, 6, 1.5, 132);
INSERT INTO public.usage_day VALUES ('acme', 20718, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 16, 18, 3, 0.75, 66);
INSERT INTO public.usage_day VALUES ('acme', 20718, 'b09e1d783c86', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 20, 30, 5, 1.25, 110);
INSERT INTO public.usage_day VALUES ('acme', 20718, 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 2, 44, 72, 12, 3, 264);
INSERT INTO public.usage_day VALUES ('acme', 20718, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 24, 42, 7, 1.75, 154);
INSERT INTO public.usage_day VALUES ('acme', 20719, '', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 34, 72, 12, 3, 264);
INSERT INTO public.usage_day VALUES ('acme', 20719, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 28, 54, 9, 2.25, 198);
INSERT INTO public.usage_day VALUES ('acme', 20719, 'b09e1d783c86', 'smollm2', 0, 'cache', 'chat', 'completed', 'USD', 1, 30, 60, 10, 2.5, 220);
INSERT INTO public.usage_day VALUES ('acme', 20719, 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 38, 84, 14, 3.5, 308);
INSERT INTO public.usage_day VALUES ('acme', 20719, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 2, 68, 144, 24, 6, 528);
INSERT INTO public.usage_day VALUES ('acme', 20720, '', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 40, 90, 15, 3.75, 330);
INSERT INTO public.usage_day VALUES ('acme', 20720, '', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 46, 108, 18, 4.5, 396);
INSERT INTO public.usage_day VALUES ('acme', 20720, 'b09e1d783c86', 'smollm2', 8, 'cache', 'chat', 'completed', 'USD', 1, 42, 96, 16, 4, 352);
INSERT INTO public.usage_day VALUES ('acme', 20720, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 2, 92, 216, 36, 9, 792);
INSERT INTO public.usage_day VALUES ('globex', 20717, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 13, 9, 1, 0.375, 33);
INSERT INTO public.usage_day VALUES ('globex', 20717, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 11, 3, 0, 0.125, 11);
INSERT INTO public.usage_day VALUES ('globex', 20718, '', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 25, 45, 7, 1.875, 165);
INSERT INTO public.usage_day VALUES ('globex', 20718, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 1, 19, 27, 4, 1.125, 99);
INSERT INTO public.usage_day VALUES ('globex', 20718, 'b09e1d783c86', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 15, 15, 2, 0.625, 55);
INSERT INTO public.usage_day VALUES ('globex', 20718, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 3, 61, 93, 14, 3.875, 341);
INSERT INTO public.usage_day VALUES ('globex', 20719, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 2, 68, 144, 23, 6, 528);
INSERT INTO public.usage_day VALUES ('globex', 20719, 'b09e1d783c86', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 35, 75, 12, 3.125, 275);
INSERT INTO public.usage_day VALUES ('globex', 20719, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 3, 89, 177, 28, 7.375, 649);
INSERT INTO public.usage_day VALUES ('globex', 20720, '', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 2, 92, 216, 35, 9, 792);
INSERT INTO public.usage_day VALUES ('globex', 20720, 'b09e1d783c86', 'smollm2', 0, 'engine', 'chat', 'completed', 'USD', 1, 45, 105, 17, 4.375, 385);
INSERT INTO public.usage_day VALUES ('globex', 20720, 'b09e1d783c86', 'smollm2', 8, 'engine', 'chat', 'completed', 'USD', 3, 127, 291, 47, 12.125, 1067);
ALTER TABLE ONLY public.batch_lines
    ADD CONSTRAINT batch_lines_pkey PRIMARY KEY (batch_id, line);
ALTER TABLE ONLY public.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.response_items
    ADD CONSTRAINT response_items_pkey PRIMARY KEY (item_id, response_id);
ALTER TABLE ONLY public.responses
    ADD CONSTRAINT responses_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.usage_day
    ADD CONSTRAINT usage_day_pkey PRIMARY KEY (tenant, day, key_id, model, version, source, endpoint, outcome, currency);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (id);
CREATE INDEX batches_by_status ON public.batches USING btree (status);
CREATE INDEX batches_by_tenant ON public.batches USING btree (tenant, created_at);
CREATE INDEX files_by_tenant ON public.files USING btree (tenant, created_at);
CREATE INDEX ix_keys_tenant ON public.keys USING btree (tenant);
CREATE INDEX ix_response_items_response_id ON public.response_items USING btree (response_id);
CREATE INDEX responses_by_expiry ON public.responses USING btree (expires_at);
CREATE INDEX usage_by_tenant ON public.usage USING btree (tenant, at_ms);
ALTER TABLE ONLY public.response_items
    ADD CONSTRAINT response_items_response_id_fkey FOREIGN KEY (response_id) REFERENCES public.responses(id) ON DELETE CASCADE;
