/*
 * A VMM. It begins as a successor (A, B) or as the owner (S); a successor that gets the verdict is the owner and the
 * source of the next handoff. Rules are cited by the bold names of the design's protocol rules.
 *
 *   source:     running -> frozen -> packed -> staged -> tookBack -> running
 *   successor:  attached -> claiming -> restored -> received -> running
 */

/* Descriptors that travel with `staged`: RAM, state, and where they keep the context alive the VMs. */
inline attachStaged(p) {
  bundle = bundle | BIT(WIRE(p));
  if
  :: WAY==move -> vmRefs[WIRE(p)] = vmRefs[WIRE(p)] | BIT(currentOf(p));
     if
     :: CUSTODY -> vmRefs[WIRE(p)] = vmRefs[WIRE(p)] | BIT(VM(p, itsHandoff[p]))  /* move with custody */
     :: else
     fi
  :: WAY==token && CUSTODY -> vmRefs[WIRE(p)] = vmRefs[WIRE(p)] | BIT(currentOf(p))
  :: else
  fi
}
/* Claim: a baton that is given back travels with every descriptor. */
inline attachReturned(p) {
  bundle = bundle | BIT(WIRE(p));
  if :: WAY==move -> vmRefs[WIRE(p)] = vmRefs[p] & ~BIT(VM(p, 0)) :: else fi
}

/* Where I stand: the first record on every connection. */
inline sayWhereIStand(p) {
  if
  :: stance[p]==attached -> say(p, attach, 0, 0)
  :: stance[p]==claiming -> say(p, claiming, itsHandoff[p], 0)
  :: stance[p]==received && broken(M_RECEIVED_ONCE) -> skip
  :: stance[p]==received && !broken(M_RECEIVED_ONCE) -> say(p, received, itsHandoff[p], 0)
  :: stance[p]==restored -> stance[p] = received; say(p, received, itsHandoff[p], 0)
  :: stance[p]==refusedUsed -> say(p, refused, itsHandoff[p], 1)
  :: stance[p]==refusedUnused -> attachReturned(p); say(p, refused, itsHandoff[p], 0)
  :: stance[p]==staged -> attachStaged(p); say(p, staged, itsHandoff[p], 0)
  :: stance[p]==tookBack -> say(p, tookBack, itsHandoff[p], 0)
  :: stance[p]==running -> say(p, running, itsEpoch[p], 0)
  fi
}

inline onFreeze(p) {
  if
  :: stance[p]==running ->
       stance[p] = frozen; itsHandoff[p] = number;
       if :: broken(M_VCPUS_GO_ON) :: else -> executing = executing & ~BIT(p) fi;
       savedFor = number;
       vmRefs[p] = vmRefs[p] | BIT(VM(p, number))      /* Taking back: this VM was made in prepare */
  :: else
  fi
}

inline onClaim(p) {
  if
  :: stance[p]==attached -> stance[p] = claiming; itsHandoff[p] = number
  :: else
  fi
}

#define oldVMTrusted(p) (broken(M_OLD_VM) && (WAY==token || (WAY==move && context==currentOf(p))))
inline onTakeBack(p) {
  if
  :: itsHandoff[p]!=number                             /* Numbers: an older handoff */
  :: itsHandoff[p]==number && stance[p]==running && connected[p] -> say(p, resumed, number, 0)
  :: itsHandoff[p]==number && stance[p]==frozen ->
       goOn(p); if :: connected[p] -> say(p, resumed, number, 0) :: else fi
  :: itsHandoff[p]==number && stance[p]==packed ->     /* The source on its own: self-receive first */
       if
       :: WAY==token ->
            receive(p, number, number);
            assert(done);                              /* P4 */
            currentVM[p] = number
       :: else
       fi;
       goOn(p); if :: connected[p] -> say(p, resumed, number, 0) :: else fi
  :: itsHandoff[p]==number && stance[p]==staged && oldVMTrusted(p) ->
       stance[p] = tookBack; if :: connected[p] -> say(p, tookBack, number, 0) :: else fi
  :: itsHandoff[p]==number && stance[p]==staged && WAY!=none && !oldVMTrusted(p) ->
       /* Taking back: self-receive or self-move into the take-back VM; never the old VM, whoever may hold it */
       receive(p, number, number);
       if
       :: done ->
            currentVM[p] = number; vmRefs[p] = BIT(VM(p, number)); stance[p] = tookBack;
            printf("  %d took back\n", p);
            if :: broken(M_TOOK_BACK_RUNS) -> enterRestored(p); stance[p] = running :: else fi;
            if :: connected[p] -> say(p, tookBack, number, 0) :: else fi
       :: else -> if :: connected[p] -> say(p, used, number, 0) :: else fi
       fi
  :: itsHandoff[p]==number && stance[p]==tookBack && connected[p] -> say(p, tookBack, number, 0)
  :: else
  fi
}

#define isNewer(e,p) ((e)>itsEpoch[p] || broken(M_ANY_EPOCH))       /* Numbers */
/* Only the verdict lets it run, and only one of a newer epoch than its own. */
inline onRun(p) {
  if
  :: stance[p]==running && number>=itsEpoch[p] ->      /* Commit: a repeated run is answered again */
       itsEpoch[p] = number; if :: connected[p] -> say(p, running, number, 0) :: else fi
  :: (stance[p]==received || stance[p]==tookBack || (WAY==none && stance[p]==staged)) && isNewer(number,p) ->
       itsEpoch[p] = number; enterRestored(p); stance[p] = running;
       vmRefs[p] = BIT(currentOf(p)); bundle = bundle | BIT(p); batonWith = batonWith & ~BIT(p);
       if :: connected[p] -> say(p, running, number, 0) :: else fi
  :: broken(M_ANY_EPOCH) && (stance[p]==frozen || stance[p]==packed || (WAY!=none && stance[p]==staged)) ->
       itsEpoch[p] = number; goOn(p)
  :: else
  fi
}

proctype vmm(byte p) {
  byte number, done; mtype record;
end:
  do
  /* ---- connection; a frozen source that lost its connection decides on its own first ---- */
  :: atomic { works(p) && !connected[p] && registryUp && stance[p]!=frozen && stance[p]!=packed ->
       printf("%d connects, stance %e\n", p, stance[p]);
       connected[p] = 1;
       if                                              /* Where I stand: records of an older connection are void */
       :: broken(M_OLD_RECORDS)
       :: else -> dropFromRegistry(p); if :: stance[p]==attached -> batonWith = batonWith & ~BIT(p) :: else fi
       fi;
       if
       :: broken(M_SILENT_RECONNECT) && stance[p]!=attached -> heard = heard | BIT(p)
       :: else -> sayWhereIStand(p)
       fi }

  /* ---- orders ---- */
  :: atomic { works(p) && fromRegistry[p]?[record,number] -> fromRegistry[p]?record,number;
       printf("%d got %e %d, stance %e\n", p, record, number, stance[p]);
       if
       :: record==freeze -> onFreeze(p)
       :: record==claim -> onClaim(p)
       :: record==takeBack -> onTakeBack(p)
       :: record==runVerdict -> onRun(p)
       :: record==release -> printf("  %d exits\n", p); die(p, mayEnd)
       fi;
       record = 0; number = 0; done = 0 }

  /* ---- restart in place: the owner asks, once its earlier records were processed ---- */
  :: atomic { parksDone<PARK && works(p) && connected[p] && stance[p]==running && len(toRegistry[p])==0 ->
       parksDone++; printf("%d asks to be parked\n", p); say(p, park, itsEpoch[p], 0) }

  /* ---- The source on its own ---- */
  :: atomic { works(p) && stance[p]==frozen ->         /* its deadline, or its registry is gone */
       printf("%d goes on by itself\n", p);
       goOn(p); if :: connected[p] -> say(p, resumed, itsHandoff[p], 0) :: else fi }
  :: atomic { works(p) && stance[p]==frozen && connected[p] ->
       localSend(p, itsHandoff[p]); stance[p] = packed;
       printf("%d has packed handoff %d\n", p, itsHandoff[p]) }
  :: atomic { works(p) && stance[p]==packed ->         /* `staged` was not sent: the token never left the process */
       if
       :: WAY==token ->
            receive(p, itsHandoff[p], itsHandoff[p]);
            assert(done);                              /* P4 */
            currentVM[p] = itsHandoff[p]; vmRefs[p] = BIT(currentOf(p))
       :: else
       fi;
       printf("%d goes on by itself, packed\n", p);
       done = 0; goOn(p); if :: connected[p] -> say(p, resumed, itsHandoff[p], 0) :: else fi }
  :: atomic { works(p) && stance[p]==packed && connected[p] ->
       stance[p] = staged; attachStaged(p); say(p, staged, itsHandoff[p], 0);
       printf("%d -> registry: staged %d\n", p, itsHandoff[p]) }
  /* staged: nothing by itself; only orders count */
  :: atomic { broken(M_UNACKNOWLEDGED) && works(p) && stance[p]==staged && phase==idle ->
       printf("%d goes on, its staged was not acknowledged\n", p);
       executing = executing | BIT(p); savedFor = 0; stance[p] = running;
       assert((executing & ~BIT(p))==0) }              /* P1 */
  :: atomic { broken(M_SOURCE_WITHOUT_VERDICT) && works(p) && stance[p]==staged && WAY!=none ->
       receive(p, itsHandoff[p], itsHandoff[p]);
       if
       :: done -> currentVM[p] = itsHandoff[p]; vmRefs[p] = BIT(currentOf(p)); done = 0;
            printf("%d takes back and runs without a verdict\n", p); enterRestored(p); stance[p] = running
       :: else
       fi }
  :: atomic { broken(M_SOURCE_WITHOUT_VERDICT) && works(p) && stance[p]==staged && WAY==none ->
       printf("%d runs without a verdict\n", p); enterRestored(p); stance[p] = running }

  /* with way move a VM's descriptor is a baton: whoever has it can take the context at any time */
  :: atomic { broken(M_EARLY_VM) && works(p) && stance[p]==attached && (vmRefs[p] & ~VMS_OF(p))!=0 ->
       printf("%d moves the context without a claim\n", p);
       receive(p, 0, 0); done = 0 }

  /* ---- Claim: ends by received, by being returned, or by being refused as used ---- */
  :: atomic { works(p) && stance[p]==claiming ->
       receive(p, itsHandoff[p], 0);
       if
       :: done ->
            stance[p] = restored; printf("%d has received\n", p);
            receivedTimes[itsHandoff[p]]++;
            assert(receivedTimes[itsHandoff[p]]<=1 || WAY!=token);   /* P3 */
            bundle = bundle | BIT(p);
            if :: broken(M_WRITES_RAM) -> ramWriter = p :: else fi;
            if :: WAY==move -> vmRefs[p] = BIT(VM(p, 0)) :: else fi
       :: else ->
            stance[p] = refusedUsed; batonWith = batonWith & ~BIT(p); printf("%d was refused: baton used\n", p);
            if :: connected[p] -> say(p, refused, itsHandoff[p], 1) :: else fi
       fi;
       done = 0 }
  :: atomic { works(p) && stance[p]==claiming && connected[p] ->   /* its own deadline */
       stance[p] = refusedUnused; batonWith = batonWith & ~BIT(p); printf("%d returns the baton\n", p);
       attachReturned(p); say(p, refused, itsHandoff[p], 0) }
  :: atomic { works(p) && stance[p]==restored && connected[p] ->
       stance[p] = received; say(p, received, itsHandoff[p], 0) }
  :: atomic { broken(M_SUCCESSOR_WITHOUT_VERDICT) && works(p) && stance[p]==received && !connected[p] ->
       printf("%d runs without a verdict\n", p); enterRestored(p); stance[p] = running }
  :: !alive[p] -> break
  od;
gone: skip
}
