/** Schema 2: MTA-STS policies, so that a restart does not forget what protects from whoever blocks their discovery. */

/** `policy` is JSON, whole: nothing asks for its parts. `ends` exists for pruning. */
export const POLICIES_0002 = `
CREATE TABLE sts_policies (
  domain TEXT NOT NULL PRIMARY KEY,
  ends INTEGER NOT NULL,
  policy TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sts_policies_ends ON sts_policies (ends);
`;
