BEGIN TRANSACTION;
CREATE TABLE batch_lines (
	batch_id VARCHAR(64) NOT NULL, 
	line INTEGER NOT NULL, 
	custom_id TEXT NOT NULL, 
	request TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	status_code INTEGER, 
	answer TEXT, 
	PRIMARY KEY (batch_id, line)
);
INSERT INTO "batch_lines" VALUES('batch-1',1,'a','{}','pending',NULL,NULL);
CREATE TABLE batches (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(255) NOT NULL, 
	caller TEXT NOT NULL, 
	endpoint VARCHAR(64) NOT NULL, 
	input_file_id VARCHAR(64) NOT NULL, 
	output_file_id VARCHAR(64), 
	error_file_id VARCHAR(64), 
	outputs_expire_s FLOAT, 
	metadata TEXT, 
	errors TEXT, 
	model VARCHAR(255), 
	status VARCHAR(16) NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	in_progress_at FLOAT, 
	finalizing_at FLOAT, 
	completed_at FLOAT, 
	failed_at FLOAT, 
	expired_at FLOAT, 
	cancelling_at FLOAT, 
	cancelled_at FLOAT, 
	total INTEGER NOT NULL, 
	completed INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	input_tokens BIGINT NOT NULL, 
	cached_tokens BIGINT NOT NULL, 
	output_tokens BIGINT NOT NULL, 
	reasoning_tokens BIGINT NOT NULL, 
	lease_owner VARCHAR(64), 
	lease_until FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "batches" VALUES('batch-1','acme','{}','/v1/chat/completions','file-1',NULL,NULL,NULL,NULL,NULL,NULL,'in_progress',1800000000.0,2800000000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,0,0,0,0,0,0,NULL,NULL);
CREATE TABLE files (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(255) NOT NULL, 
	filename VARCHAR(255) NOT NULL, 
	purpose VARCHAR(32) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "files" VALUES('file-1','acme','in.jsonl','batch',10,1800000000.0,2800000000.0);
CREATE TABLE keys (
	id VARCHAR(12) NOT NULL, 
	digest BLOB NOT NULL, 
	previous_digest BLOB, 
	previous_until FLOAT, 
	pepper VARCHAR(16) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	roles JSON NOT NULL, 
	models JSON, 
	note VARCHAR(200) NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	revoked_at FLOAT, 
	rotated_at FLOAT, 
	last_used_at FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "keys" VALUES('9ba432d64e19',X'A26F211BE3D4B02D14558FF5706DE028BFA57A16F5A66E55376CA5EE6182F53A',NULL,NULL,'d178b4a6ec910068','acme','["inference"]',NULL,'for the shop',1800000000.0,NULL,NULL,NULL,NULL);
INSERT INTO "keys" VALUES('2fb9482bbe53',X'88E017BDD5BB3B5B2436D24FC1098AA85627EA05037508AB5D1F5108EE0BBDD0',NULL,NULL,'d178b4a6ec910068','globex','["inference"]','["smollm2@8"]','Ünïcode 日本',1800000000.0,NULL,1800000000.0,NULL,NULL);
INSERT INTO "keys" VALUES('0e1f2ff5bbcf',X'9EAD6DDB262806CD53D4851B3FDE14856627A8DC83E6969D48570D412C1B02FD',NULL,NULL,'d178b4a6ec910068','acme','["inference"]',NULL,'',1800000000.0,NULL,NULL,NULL,NULL);
CREATE TABLE response_items (
	item_id VARCHAR(256) NOT NULL, 
	response_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (item_id, response_id), 
	FOREIGN KEY(response_id) REFERENCES responses (id) ON DELETE CASCADE
);
INSERT INTO "response_items" VALUES('msg_0','resp_a');
INSERT INTO "response_items" VALUES('msg_1','resp_a');
CREATE TABLE responses (
	id VARCHAR(64) NOT NULL, 
	tenant VARCHAR(255) NOT NULL, 
	previous_id VARCHAR(64), 
	created_at INTEGER NOT NULL, 
	expires_at FLOAT NOT NULL, 
	body TEXT NOT NULL, 
	items TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "responses" VALUES('resp_a','acme',NULL,1800000000,2800000000.0,'{"id":"resp_a","previous_response_id":null,"created_at":1800000000,"output":[{"id":"msg_1"}]}','[{"id":"msg_0","type":"message"}]');
CREATE TABLE usage (
	id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	at_ms BIGINT NOT NULL, 
	tenant VARCHAR NOT NULL, 
	key_id VARCHAR, 
	model VARCHAR NOT NULL, 
	version INTEGER, 
	source VARCHAR NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	prompt_tokens BIGINT NOT NULL, 
	completion_tokens BIGINT NOT NULL, 
	cached_tokens BIGINT NOT NULL, 
	seconds FLOAT NOT NULL, 
	prompt_micros BIGINT, 
	cached_micros BIGINT, 
	completion_micros BIGINT, 
	currency VARCHAR NOT NULL, 
	cost_micros BIGINT NOT NULL, 
	outcome VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "usage" VALUES('resp_0000','req_0',1790000000000,'acme',NULL,'smollm2',NULL,'cache','chat',10,0,0,0.0,NULL,NULL,NULL,'USD',0,'completed');
INSERT INTO "usage" VALUES('resp_0001','req_1',1790007200000,'globex','9ba432d64e19','smollm2',8,'engine','chat',11,3,0,0.125,150,75,600,'USD',11,'completed');
INSERT INTO "usage" VALUES('resp_0002','req_2',1790014400000,'acme','9ba432d64e19','smollm2',8,'engine','chat',12,6,1,0.25,150,75,600,'USD',22,'completed');
INSERT INTO "usage" VALUES('resp_0003','req_3',1790021600000,'globex',NULL,'smollm2',8,'engine','chat',13,9,1,0.375,150,75,600,'USD',33,'completed');
INSERT INTO "usage" VALUES('resp_0004','req_4',1790028800000,'acme','9ba432d64e19','smollm2',8,'cache','chat',14,12,2,0.5,150,75,600,'USD',44,'completed');
INSERT INTO "usage" VALUES('resp_0005','req_5',1790036000000,'globex','9ba432d64e19','smollm2',NULL,'engine','chat',15,15,2,0.625,150,75,600,'USD',55,'completed');
INSERT INTO "usage" VALUES('resp_0006','req_6',1790043200000,'acme',NULL,'smollm2',8,'engine','chat',16,18,3,0.75,150,75,600,'USD',66,'completed');
INSERT INTO "usage" VALUES('resp_0007','req_7',1790050400000,'globex','9ba432d64e19','smollm2',8,'engine','chat',17,21,3,0.875,NULL,NULL,NULL,'USD',77,'completed');
INSERT INTO "usage" VALUES('resp_0008','req_8',1790057600000,'acme','9ba432d64e19','smollm2',8,'cache','chat',18,24,4,1.0,150,75,600,'USD',88,'completed');
INSERT INTO "usage" VALUES('resp_0009','req_9',1790064800000,'globex',NULL,'smollm2',8,'engine','chat',19,27,4,1.125,150,75,600,'USD',99,'completed');
INSERT INTO "usage" VALUES('resp_0010','req_10',1790072000000,'acme','9ba432d64e19','smollm2',NULL,'engine','chat',20,30,5,1.25,150,75,600,'USD',110,'completed');
INSERT INTO "usage" VALUES('resp_0011','req_11',1790079200000,'globex','9ba432d64e19','smollm2',8,'engine','chat',21,33,5,1.375,150,75,600,'USD',121,'completed');
INSERT INTO "usage" VALUES('resp_0012','req_12',1790086400000,'acme',NULL,'smollm2',8,'cache','chat',22,36,6,1.5,150,75,600,'USD',132,'completed');
INSERT INTO "usage" VALUES('resp_0013','req_13',1790093600000,'globex','9ba432d64e19','smollm2',8,'engine','chat',23,39,6,1.625,150,75,600,'USD',143,'completed');
INSERT INTO "usage" VALUES('resp_0014','req_14',1790100800000,'acme','9ba432d64e19','smollm2',8,'engine','chat',24,42,7,1.75,NULL,NULL,NULL,'USD',154,'completed');
INSERT INTO "usage" VALUES('resp_0015','req_15',1790108000000,'globex',NULL,'smollm2',NULL,'engine','chat',25,45,7,1.875,150,75,600,'USD',165,'completed');
INSERT INTO "usage" VALUES('resp_0016','req_16',1790115200000,'acme','9ba432d64e19','smollm2',8,'cache','chat',26,48,8,2.0,150,75,600,'USD',176,'completed');
INSERT INTO "usage" VALUES('resp_0017','req_17',1790122400000,'globex','9ba432d64e19','smollm2',8,'engine','chat',27,51,8,2.125,150,75,600,'USD',187,'completed');
INSERT INTO "usage" VALUES('resp_0018','req_18',1790129600000,'acme',NULL,'smollm2',8,'engine','chat',28,54,9,2.25,150,75,600,'USD',198,'completed');
INSERT INTO "usage" VALUES('resp_0019','req_19',1790136800000,'globex','9ba432d64e19','smollm2',8,'engine','chat',29,57,9,2.375,150,75,600,'USD',209,'completed');
INSERT INTO "usage" VALUES('resp_0020','req_20',1790144000000,'acme','9ba432d64e19','smollm2',NULL,'cache','chat',30,60,10,2.5,150,75,600,'USD',220,'completed');
INSERT INTO "usage" VALUES('resp_0021','req_21',1790151200000,'globex',NULL,'smollm2',8,'engine','chat',31,63,10,2.625,NULL,NULL,NULL,'USD',231,'completed');
INSERT INTO "usage" VALUES('resp_0022','req_22',1790158400000,'acme','9ba432d64e19','smollm2',8,'engine','chat',32,66,11,2.75,150,75,600,'USD',242,'completed');
INSERT INTO "usage" VALUES('resp_0023','req_23',1790165600000,'globex','9ba432d64e19','smollm2',8,'engine','chat',33,69,11,2.875,150,75,600,'USD',253,'completed');
INSERT INTO "usage" VALUES('resp_0024','req_24',1790172800000,'acme',NULL,'smollm2',8,'cache','chat',34,72,12,3.0,150,75,600,'USD',264,'completed');
INSERT INTO "usage" VALUES('resp_0025','req_25',1790180000000,'globex','9ba432d64e19','smollm2',NULL,'engine','chat',35,75,12,3.125,150,75,600,'USD',275,'completed');
INSERT INTO "usage" VALUES('resp_0026','req_26',1790187200000,'acme','9ba432d64e19','smollm2',8,'engine','chat',36,78,13,3.25,150,75,600,'USD',286,'completed');
INSERT INTO "usage" VALUES('resp_0027','req_27',1790194400000,'globex',NULL,'smollm2',8,'engine','chat',37,81,13,3.375,150,75,600,'USD',297,'completed');
INSERT INTO "usage" VALUES('resp_0028','req_28',1790201600000,'acme','9ba432d64e19','smollm2',8,'cache','chat',38,84,14,3.5,NULL,NULL,NULL,'USD',308,'completed');
INSERT INTO "usage" VALUES('resp_0029','req_29',1790208800000,'globex','9ba432d64e19','smollm2',8,'engine','chat',39,87,14,3.625,150,75,600,'USD',319,'completed');
INSERT INTO "usage" VALUES('resp_0030','req_30',1790216000000,'acme',NULL,'smollm2',NULL,'engine','chat',40,90,15,3.75,150,75,600,'USD',330,'completed');
INSERT INTO "usage" VALUES('resp_0031','req_31',1790223200000,'globex','9ba432d64e19','smollm2',8,'engine','chat',41,93,15,3.875,150,75,600,'USD',341,'completed');
INSERT INTO "usage" VALUES('resp_0032','req_32',1790230400000,'acme','9ba432d64e19','smollm2',8,'cache','chat',42,96,16,4.0,150,75,600,'USD',352,'completed');
INSERT INTO "usage" VALUES('resp_0033','req_33',1790237600000,'globex',NULL,'smollm2',8,'engine','chat',43,99,16,4.125,150,75,600,'USD',363,'completed');
INSERT INTO "usage" VALUES('resp_0034','req_34',1790244800000,'acme','9ba432d64e19','smollm2',8,'engine','chat',44,102,17,4.25,150,75,600,'USD',374,'completed');
INSERT INTO "usage" VALUES('resp_0035','req_35',1790252000000,'globex','9ba432d64e19','smollm2',NULL,'engine','chat',45,105,17,4.375,NULL,NULL,NULL,'USD',385,'completed');
INSERT INTO "usage" VALUES('resp_0036','req_36',1790259200000,'acme',NULL,'smollm2',8,'cache','chat',46,108,18,4.5,150,75,600,'USD',396,'completed');
INSERT INTO "usage" VALUES('resp_0037','req_37',1790266400000,'globex','9ba432d64e19','smollm2',8,'engine','chat',47,111,18,4.625,150,75,600,'USD',407,'completed');
INSERT INTO "usage" VALUES('resp_0038','req_38',1790273600000,'acme','9ba432d64e19','smollm2',8,'engine','chat',48,114,19,4.75,150,75,600,'USD',418,'completed');
INSERT INTO "usage" VALUES('resp_0039','req_39',1790280800000,'globex',NULL,'smollm2',8,'engine','chat',49,117,19,4.875,150,75,600,'USD',429,'completed');
CREATE TABLE usage_day (
	tenant VARCHAR NOT NULL, 
	day INTEGER NOT NULL, 
	key_id VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	currency VARCHAR NOT NULL, 
	requests BIGINT NOT NULL, 
	prompt_tokens BIGINT NOT NULL, 
	completion_tokens BIGINT NOT NULL, 
	cached_tokens BIGINT NOT NULL, 
	seconds FLOAT NOT NULL, 
	cost_micros BIGINT NOT NULL, 
	PRIMARY KEY (tenant, day, key_id, model, version, source, endpoint, outcome, currency)
);
INSERT INTO "usage_day" VALUES('acme',20717,'','smollm2',0,'cache','chat','completed','USD',1,10,0,0,0.0,0);
INSERT INTO "usage_day" VALUES('acme',20717,'9ba432d64e19','smollm2',8,'cache','chat','completed','USD',1,14,12,2,0.5,44);
INSERT INTO "usage_day" VALUES('acme',20717,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',1,12,6,1,0.25,22);
INSERT INTO "usage_day" VALUES('acme',20718,'','smollm2',8,'cache','chat','completed','USD',1,22,36,6,1.5,132);
INSERT INTO "usage_day" VALUES('acme',20718,'','smollm2',8,'engine','chat','completed','USD',1,16,18,3,0.75,66);
INSERT INTO "usage_day" VALUES('acme',20718,'9ba432d64e19','smollm2',0,'engine','chat','completed','USD',1,20,30,5,1.25,110);
INSERT INTO "usage_day" VALUES('acme',20718,'9ba432d64e19','smollm2',8,'cache','chat','completed','USD',2,44,72,12,3.0,264);
INSERT INTO "usage_day" VALUES('acme',20718,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',1,24,42,7,1.75,154);
INSERT INTO "usage_day" VALUES('acme',20719,'','smollm2',8,'cache','chat','completed','USD',1,34,72,12,3.0,264);
INSERT INTO "usage_day" VALUES('acme',20719,'','smollm2',8,'engine','chat','completed','USD',1,28,54,9,2.25,198);
INSERT INTO "usage_day" VALUES('acme',20719,'9ba432d64e19','smollm2',0,'cache','chat','completed','USD',1,30,60,10,2.5,220);
INSERT INTO "usage_day" VALUES('acme',20719,'9ba432d64e19','smollm2',8,'cache','chat','completed','USD',1,38,84,14,3.5,308);
INSERT INTO "usage_day" VALUES('acme',20719,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',2,68,144,24,6.0,528);
INSERT INTO "usage_day" VALUES('acme',20720,'','smollm2',0,'engine','chat','completed','USD',1,40,90,15,3.75,330);
INSERT INTO "usage_day" VALUES('acme',20720,'','smollm2',8,'cache','chat','completed','USD',1,46,108,18,4.5,396);
INSERT INTO "usage_day" VALUES('acme',20720,'9ba432d64e19','smollm2',8,'cache','chat','completed','USD',1,42,96,16,4.0,352);
INSERT INTO "usage_day" VALUES('acme',20720,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',2,92,216,36,9.0,792);
INSERT INTO "usage_day" VALUES('globex',20717,'','smollm2',8,'engine','chat','completed','USD',1,13,9,1,0.375,33);
INSERT INTO "usage_day" VALUES('globex',20717,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',1,11,3,0,0.125,11);
INSERT INTO "usage_day" VALUES('globex',20718,'','smollm2',0,'engine','chat','completed','USD',1,25,45,7,1.875,165);
INSERT INTO "usage_day" VALUES('globex',20718,'','smollm2',8,'engine','chat','completed','USD',1,19,27,4,1.125,99);
INSERT INTO "usage_day" VALUES('globex',20718,'9ba432d64e19','smollm2',0,'engine','chat','completed','USD',1,15,15,2,0.625,55);
INSERT INTO "usage_day" VALUES('globex',20718,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',3,61,93,14,3.875,341);
INSERT INTO "usage_day" VALUES('globex',20719,'','smollm2',8,'engine','chat','completed','USD',2,68,144,23,6.0,528);
INSERT INTO "usage_day" VALUES('globex',20719,'9ba432d64e19','smollm2',0,'engine','chat','completed','USD',1,35,75,12,3.125,275);
INSERT INTO "usage_day" VALUES('globex',20719,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',3,89,177,28,7.375,649);
INSERT INTO "usage_day" VALUES('globex',20720,'','smollm2',8,'engine','chat','completed','USD',2,92,216,35,9.0,792);
INSERT INTO "usage_day" VALUES('globex',20720,'9ba432d64e19','smollm2',0,'engine','chat','completed','USD',1,45,105,17,4.375,385);
INSERT INTO "usage_day" VALUES('globex',20720,'9ba432d64e19','smollm2',8,'engine','chat','completed','USD',3,127,291,47,12.125,1067);
CREATE INDEX ix_keys_tenant ON keys (tenant);
CREATE INDEX files_by_tenant ON files (tenant, created_at);
CREATE INDEX batches_by_tenant ON batches (tenant, created_at);
CREATE INDEX batches_by_status ON batches (status);
CREATE INDEX usage_by_tenant ON usage (tenant, at_ms);
CREATE INDEX responses_by_expiry ON responses (expires_at);
CREATE INDEX ix_response_items_response_id ON response_items (response_id);
COMMIT;
