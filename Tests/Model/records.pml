/*
 * Records between VMMs and the registry, named as on the wire, and what is true of a connection.
 *
 * Promela has the word `run` for itself, so the record `run` is called runVerdict here. Some names are both a record
 * and a phase or stance (`staged`, `claiming`, `received`, `tookBack`, `running`): they are the same word in the
 * protocol too, since a VMM's first record on a connection is its stance.
 */
mtype = {
  /* VMM -> registry */
  attach, claiming, received, refused, staged, tookBack, used, resumed, running, park,
  /* registry -> VMM */
  freeze, claim, takeBack, runVerdict, release,
  /* phases in the journal (with staged) */
  idle, claimed, rollback, lost, ended,
  /* steps of the registry within idle */
  noStep, freezing, aborting,
  /* stances of a VMM (with claiming, received, staged, tookBack, running) */
  attached,        /* successor: RAM mapped, VM made, no claim                          */
  restored,        /* successor: has the context, has not said `received` yet           */
  refusedUsed,     /* successor: the kernel said that the baton was used                */
  refusedUnused,   /* successor: gave the baton back untouched                          */
  frozen,          /* source: vCPUs stopped, state saved                                */
  packed,          /* source: LOCAL_SEND done, `staged` not sent                        */
  out              /* exited or dead                                                    */
};

/* record, handoff number or epoch, and for `refused`: the baton was used */
chan toRegistry[3] = [4] of { mtype, byte, bit };
chan fromRegistry[3] = [5] of { mtype, byte };

bit connected[3];
byte heard;                  /* VMMs whose first record on this connection was processed */
bit registryUp = 1;

inline dropToRegistry(p) { do :: toRegistry[p]?_,_,_ :: len(toRegistry[p])==0 -> break od }
inline dropFromRegistry(p) { do :: fromRegistry[p]?_,_ :: len(fromRegistry[p])==0 -> break od }

/* r: the record, n: handoff or epoch, u: the baton was used */
inline say(p, r, n, u) {
  assert((len(toRegistry[p]) < 4));
  toRegistry[p]!r,n,u
}
inline order(p, r, n) {
  assert((len(fromRegistry[p]) < 5));
  fromRegistry[p]!r,n;
  printf("registry -> %d: %e %d\n", p, r, n)
}
