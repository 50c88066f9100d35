-- The relay walks the orgs that have something pending, and takes the events of each in the order of their commits. In the
-- collation "C": it compares faster, and row-level security, which compares `org_id` in the database's own, never takes this
-- index for one event of an org where it could take that event's.
alter table patchbay.outbox_pending
  drop constraint outbox_pending_pkey,
  add constraint outbox_pending_pkey primary key using index outbox_pending_event;
create unique index outbox_pending_by_org on patchbay.outbox_pending (org_id collate "C", place);
