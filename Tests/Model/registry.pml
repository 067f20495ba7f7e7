/*
 * The registry. Rn is the rule of that number in RULES.md; bold names of the design's protocol rules are cited there.
 * A deadline is a guard that may always fire: no property rests on how long something takes.
 */

/* R3, Seen death: the pidfd says so, and everything that was sent has been processed */
#define seenDead(p) (!alive[p] && (len(toRegistry[p])==0 || broken(M_NO_DRAIN)))
#define claimantGone (claimant==NOBODY || seenDead(claimant))

/* R1, Where I stand: nothing is sent before the first record was processed */
#define reachable(p) (connected[p] && alive[p] && (has(heard,p) || broken(M_SEND_UNHEARD)))

/* a deadline passed: for a VMM that hangs, or (SLOW times) for one that would still have answered */
#define overdue(p) (alive[p] && !has(sentenced,p) && (has(hung,p) || slowDone<SLOW))

/* an unused token lives in the source's VM: without custody it dies with the source */
#define nothingLeft (!registryHas || (WAY==token && !CUSTODY))
/* R63: what the guest needs to outlive its owner will be in custody */
#define outlivesOwner (WAY!=token || CUSTODY || broken(M_PARK_WITHOUT_VM))

inline noReleaseTo(p) { if :: broken(M_STALE_RELEASE) :: else -> releaseDue = releaseDue & ~BIT(p) fi }

/* The journal: what the registry changed is in memory until write(); a restart has what was written. */
#define always 0
inline write(leftOutBy) {
  if
  :: leftOutBy!=always && broken(leftOutBy) -> printf("registry: a journal write is left out\n")
  :: else ->
       diskOwner = owner; diskEpoch = epoch; diskPhase = phase; diskHandoff = handoff;
       diskClaimant = claimant; diskStagedVM = stagedVM; diskLetGo = (letGo && !broken(M_DROP_LET_GO))
  fi
}
inline replay() {
  owner = diskOwner; epoch = diskEpoch; phase = diskPhase; handoff = diskHandoff;
  claimant = diskClaimant; stagedVM = diskStagedVM; letGo = diskLetGo
}

/* ---- descriptors ---- */
inline keepDescriptors(p) {
  if
  :: CUSTODY -> vmRefs[STORE] = vmRefs[STORE] | vmRefs[WIRE(p)];
       if :: has(bundle,WIRE(p)) -> bundle = (bundle & ~BIT(WIRE(p))) | BIT(STORE) :: else fi
  :: else -> vmRefs[HANDS] = vmRefs[HANDS] | vmRefs[WIRE(p)];
       if :: has(bundle,WIRE(p)) -> bundle = (bundle & ~BIT(WIRE(p))) | BIT(HANDS) :: else fi
  fi;
  vmRefs[WIRE(p)] = 0
}
inline closeDescriptors(p) { vmRefs[WIRE(p)] = 0; bundle = bundle & ~BIT(WIRE(p)) }

/* move with custody: the source's staged VM and the VMs of the dead, never a living one's */
#define tooMany (broken(M_GIVE_ALL_VMS) -> VMS_OF(S)|VMS_OF(A)|VMS_OF(B) : \
                 (broken(M_GIVE_TAKE_BACK_VM) -> VMS_OF(owner) : 0))
#define vmsOfTheDead(p) (alive[p] || broken(M_FORGET_DEAD_VMS) -> 0 : VMS_OF(p))
inline giveVMs(p) {
  if
  :: WAY==move ->
       vmRefs[p] = vmRefs[p] | ((vmRefs[HANDS]|vmRefs[STORE])
         & (BIT(stagedVM) | tooMany | vmsOfTheDead(S) | vmsOfTheDead(A) | vmsOfTheDead(B)) & ~VMS_OF(p))
  :: else
  fi
}

/* ---- transitions ---- */
inline forgetAttempt() {
  step = noStep; parking = 0; mayClaim = 0; claimSent = 0; claimAfterDeath = 0;
  takeBackSent = 0; takeBackComplete = 0; usedSaid = 0
}
inline toIdle() { phase = idle; claimant = NOBODY; letGo = 0; parkDue = 0; forgetAttempt() }
inline toStaged() { phase = staged; claimant = NOBODY; write(M_DROP_STAGED) }

inline letWait(p) { if :: has(sentenced,p) :: else -> waiting = waiting | BIT(p) fi }             /* R59 */
inline releaseCandidate() {
  if :: candidate!=NOBODY -> releaseDue = releaseDue | BIT(candidate); candidate = NOBODY :: else fi
}
inline releaseClaimant() { if :: claimant!=NOBODY -> releaseDue = releaseDue | BIT(claimant) :: else fi }

inline commit(p) {                                     /* R48 */
  assert((executing & ~BIT(p)) == 0);                  /* P1 */
  assert(!has(sentenced,p));                           /* P4: R59 */
  if :: broken(M_OLD_OWNER_STAYS) :: else -> releaseDue = releaseDue | BIT(owner) fi;
  owner = p; epoch++; stagedUnsettled = 0; candidate = NOBODY; runDue = 1; runConfirmed = 0;
  toIdle(); write(M_DROP_COMMIT);
  printf("registry: commit, owner %d, epoch %d\n", owner, epoch)
}

inline backToSource() {                                /* R49 */
  assert(claimant==NOBODY || stance[claimant]!=received || WAY==none);   /* P7 */
  releaseClaimant(); releaseCandidate();
  if :: broken(M_SAME_EPOCH) :: else -> epoch++ fi;
  if :: WAY!=none -> batonWith = 0 :: else fi;
  stagedUnsettled = 0; runDue = 1; runConfirmed = 0; toIdle(); write(M_DROP_BACK);
  printf("registry: back to %d, epoch %d\n", owner, epoch)
}

inline toRollback() {                                  /* R50 */
  phase = rollback; takeBackComplete = 0; usedSaid = 0;
  if
  :: claimant!=NOBODY && mayClaim && !claimSent ->
       letWait(claimant); claimant = NOBODY; printf("registry: the claim was never sent\n")
  :: else
  fi;
  mayClaim = 0; claimSent = 0; write(M_DROP_ROLLBACK);
  printf("registry: rollback of handoff %d\n", handoff)
}

inline declare(outcome) {                              /* R52 */
  printf("registry: %e\n", outcome);
  phase = outcome; claimant = NOBODY; candidate = NOBODY; waiting = 0; releaseDue = BIT(S)|BIT(A)|BIT(B); runDue = 0;
  letGo = 0; parkDue = 0;
  forgetAttempt(); write(always)
}
inline declareLost() {
  assert(context==DESTROYED ||                                           /* P4 */
    (WAY==token && IS_VM(context) && !alive[HOME(context)]) ||           /* P4 */
    (WAY==move && !CUSTODY && !has(allRefs,context)) ||                  /* P4 */
    (seenDead(owner) && !registryHas));                                  /* P4 */
  declare(lost)
}
inline declareEnded() {
  assert(stagedUnsettled==0);                          /* P4: what was staged is not ended like a crash */
  declare(ended)
}
inline stagedAgainOrLost() { if :: nothingLeft -> declareLost() :: else -> toStaged() fi }

inline sentence(p) {
  sentenced = sentenced | BIT(p);
  waiting = waiting & ~BIT(p); if :: candidate==p -> candidate = NOBODY :: else fi                 /* R59 */
}
inline endIt(p) {                                        /* SIGKILL through the pidfd */
  if :: has(hung,p) :: else -> slowDone++ fi;
  sentence(p)
}

/* ---- records ---- */
inline onAttach(p) {
  if
  :: settled -> releaseDue = releaseDue | BIT(p)                                                   /* R5 */
  :: phase==claimed && claimant==p -> mayClaim = 1; claimSent = 0; noReleaseTo(p)                  /* R6 */
  :: phase==rollback && claimant==p -> claimant = NOBODY; letWait(p); write(always); noReleaseTo(p)      /* R7 */
  :: else ->                                                                                       /* R8 */
       assert(owner!=p);                               /* P0 */
       noReleaseTo(p); if :: candidate==p :: else -> letWait(p) fi
  fi
}

inline onClaiming(p) {                                                                             /* R9 */
  if
  :: (phase==claimed || phase==rollback) && claimant==p && handoff==number
  :: else -> releaseDue = releaseDue | BIT(p)
  fi
}

#define lateCounts (WAY!=none || broken(M_LATE_RECEIVED))
#define mayCommit(p) (broken(M_COMMIT_DEAD) || \
  (alive[p] && (!has(sentenced,p) || broken(M_COMMIT_ENDED) || broken(M_LATE_RECEIVED))))
inline onReceived(p) {
  if
  :: (phase==claimed || (phase==rollback && lateCounts)) && handoff==number && claimant==p ->     /* R10 */
       if :: mayCommit(p) -> commit(p) :: else fi
  :: phase==rollback && !lateCounts && claimant==p                                                /* R11 */
  :: owner==p && phase==idle -> runDue = 1                                                         /* R12 */
  :: else -> releaseDue = releaseDue | BIT(p)                                                      /* R13 */
  fi
}

inline onRefused(p) {
  if
  :: handoff==number && claimant==p && (phase==claimed || phase==rollback) ->                      /* R14 */
       if :: isUsed :: else -> keepDescriptors(p) fi;
       claimant = NOBODY; releaseDue = releaseDue | BIT(p);
       if
       :: !seenDead(owner) -> if :: phase==claimed -> toRollback() :: else -> write(always) fi           /* R15 */
       :: seenDead(owner) && isUsed && (WAY==token || claimAfterDeath) -> declareLost()            /* R16 */
       :: seenDead(owner) && isUsed && WAY==move && !claimAfterDeath -> toStaged()                 /* R17 */
       :: seenDead(owner) && !isUsed -> toStaged()                                                 /* R18 */
       :: else -> assert(false)                        /* P0: way none cannot say `used` */
       fi
  :: else -> releaseDue = releaseDue | BIT(p); closeDescriptors(p)                                 /* R19 */
  fi
}

inline onStaged(p) {
  if
  :: owner!=p || settled -> closeDescriptors(p); releaseDue = releaseDue | BIT(p)                  /* R20 */
  :: owner==p && (phase==staged || phase==claimed || phase==rollback) ->                           /* R21 */
       assert(handoff==number);                        /* P0: Numbers */
       keepDescriptors(p); stagedVM = currentOf(p); takeBackSent = 0; usedSaid = 0; write(always);
       if :: letGo -> releaseDue = releaseDue | BIT(p) :: else fi                                 /* R64 */
  :: owner==p && phase==idle && step==freezing && handoff==number ->                               /* R22 */
       assert(!has(executing,p));                      /* P6: the state would be older than the guest */
       keepDescriptors(p); stagedVM = currentOf(p); stagedUnsettled = handoff;
       if
       :: broken(M_CLAIM_BEFORE_JOURNAL) && candidate!=NOBODY && reachable(candidate) ->
            order(candidate, claim, handoff); giveVMs(candidate); batonWith = batonWith | BIT(candidate)
       :: else
       fi;
       step = noStep;
       if                                                                                          /* R64 */
       :: parking && (!nothingLeft || broken(M_PARK_WITHOUT_VM)) -> letGo = 1; releaseDue = releaseDue | BIT(p)
       :: else
       fi;
       parking = 0; toStaged(); printf("registry: staged, owner let go: %d\n", letGo)
  :: else ->                                                                                       /* R23 */
       assert(handoff==number);                        /* P0: Numbers */
       keepDescriptors(p); stagedVM = currentOf(p); stagedUnsettled = handoff;
       claimant = NOBODY; step = noStep; parking = 0; toRollback(); takeBackComplete = 1
  fi
}

inline onTookBack(p) {
  if
  :: owner!=p || settled -> releaseDue = releaseDue | BIT(p)                                       /* R26 */
  :: owner==p && phase==rollback && handoff==number && alive[p] -> backToSource()                  /* R24 */
  :: owner==p && phase==idle && !runConfirmed && alive[p] -> backToSource()                        /* R25 */
  :: else ->                                                                                       /* R26 */
       assert(phase!=staged && phase!=claimed)         /* P0 */
  fi
}

inline onUsed(p) { if :: phase==rollback && handoff==number && owner==p -> usedSaid = 1 :: else fi }  /* R27 */

inline onRunning(p) {                                  /* running and resumed */
  assert(owner==p || !alive[p]);                       /* P2 */
  if
  :: owner==p && phase==idle && step!=noStep && (record==running || handoff==number) ->            /* R28 */
       step = noStep; parking = 0; releaseCandidate()
  :: else
  fi;
  if
  :: owner==p && phase==idle && (record==resumed || number==epoch) -> runConfirmed = 1             /* R29 */
  :: owner==p && phase==idle && record==running && number!=epoch -> runDue = 1                     /* R30 */
  :: else
  fi
}

inline onPark(p) {                                                                                 /* R62 */
  if :: owner==p && phase==idle && number==epoch && !parking -> parkDue = 1 :: else fi
}

inline process(p) {
  toRegistry[p]?record,number,isUsed;
  if :: connected[p] -> heard = heard | BIT(p) :: else fi;                                         /* R1 */
  printf("registry got %e %d (used %d) from %d, phase %e\n", record, number, isUsed, p, phase);
  if
  :: record==attach -> onAttach(p)
  :: record==claiming -> onClaiming(p)
  :: record==received -> onReceived(p)
  :: record==refused -> onRefused(p)
  :: record==staged -> onStaged(p)
  :: record==tookBack -> onTookBack(p)
  :: record==used -> onUsed(p)
  :: record==resumed || record==running -> onRunning(p)
  :: record==park -> onPark(p)
  fi;
  record = 0; number = 0; isUsed = 0
}

/* a reachable successor that waits; an unreachable candidate waits in its place */
#define readyToClaim(p) (has(waiting,p) && p!=owner && reachable(p))
inline makeCandidate(p) {
  if :: candidate!=NOBODY -> letWait(candidate) :: else fi;
  waiting = waiting & ~BIT(p); candidate = p
}
inline chooseCandidate() {
  if
  :: readyToClaim(A) -> makeCandidate(A)
  :: readyToClaim(B) -> makeCandidate(B)
  fi
}

#define sent(p) (len(toRegistry[p])>0)
#define isNeeded(p) (letGo && owner==p && nothingLeft)                                             /* R64 */
#define mayRelease(p) (has(releaseDue,p) && !isNeeded(p) && (reachable(p) || !alive[p]))
#define isLeftover(p) (overdue(p) && ((phase==idle && step==noStep && owner!=p) || settled || \
  (letGo && owner==p && !nothingLeft)))                                                            /* R65 */
#define unreachableCandidate (candidate==NOBODY || (!reachable(candidate) && !broken(M_STUCK_CANDIDATE)))

proctype registry() {
  byte number, p; bit isUsed; mtype record;
end:
  do
  :: atomic { registryUp && (sent(S) || sent(A) || sent(B)) ->
       if :: sent(S) -> p = S :: sent(A) -> p = A :: sent(B) -> p = B fi;
       process(p); p = 0 }

  /* ---- starting and staging ---- */
  :: atomic { registryUp && phase==idle && step==noStep && (readyToClaim(A) || readyToClaim(B)) &&         /* R31 */
              runConfirmed && reachable(owner) && handoff<HANDOFFS ->
       chooseCandidate(); handoff = (broken(M_REUSE_NUMBER) -> 1 : handoff+1); write(M_DROP_NUMBER);
       step = freezing; takeBackSent = 0;
       if :: broken(M_EARLY_VM) -> vmRefs[candidate] = vmRefs[candidate] | BIT(currentOf(owner)) :: else fi;
       order(owner, freeze, handoff) }
  :: atomic { registryUp && phase==idle && step==noStep && parkDue && !readyToClaim(A) && !readyToClaim(B) &&
              runConfirmed && reachable(owner) && handoff<HANDOFFS && outlivesOwner ->                   /* R63 */
       parkDue = 0; parking = 1; handoff++; write(M_DROP_NUMBER); step = freezing; takeBackSent = 0;
       order(owner, freeze, handoff);
       if :: broken(M_PARK_RELEASE_EARLY) -> releaseDue = releaseDue | BIT(owner) :: else fi }
  :: atomic { registryUp && phase==idle && step==noStep && waiting!=0 && handoff==HANDOFFS ->          /* R58 */
       releaseDue = releaseDue | waiting; waiting = 0 }
  :: atomic { registryUp && phase==idle && step==freezing && reachable(owner) ->                       /* R32 */
       step = aborting; takeBackSent = 1; order(owner, takeBack, handoff); releaseCandidate() }
  :: atomic { registryUp && phase==idle && seenDead(owner) -> declareEnded() }                         /* R33 */
  :: atomic { registryUp && phase==staged && candidate!=NOBODY && reachable(candidate) &&              /* R34 */
              (!letGo || seenDead(owner)) ->                                                             /* R66 */
       phase = claimed; claimant = candidate; mayClaim = 1; claimSent = 0; candidate = NOBODY; write(M_DROP_CLAIM);
       if
       :: WAY==move && CUSTODY && !broken(M_NO_SUCCESSOR_VM) -> vmRefs[STORE] = vmRefs[STORE] | BIT(VM(claimant, 0))
       :: else
       fi;
       printf("registry: claimed by %d\n", claimant) }
  :: atomic { registryUp && phase==staged && unreachableCandidate &&                                  /* R35 */
              (readyToClaim(A) || readyToClaim(B)) -> chooseCandidate() }
  :: atomic { registryUp && phase==staged && (candidate==NOBODY || !reachable(candidate)) &&           /* R36 */
              !seenDead(owner) && (!letGo || broken(M_PARK_TAKE_BACK)) ->
       candidate = NOBODY; toRollback() }
  :: atomic { registryUp && phase==staged && seenDead(owner) && candidate!=NOBODY && seenDead(candidate) ->
       candidate = NOBODY }                                                                            /* R37 */
  :: atomic { registryUp && phase==staged && seenDead(owner) && nothingLeft -> declareLost() }         /* R38 */

  /* ---- claimed ---- */
  :: atomic { registryUp && phase==claimed && mayClaim && !claimSent && reachable(claimant) &&         /* R39 */
              !has(sentenced,claimant) && registryHas ->
       giveVMs(claimant); bundle = bundle | BIT(claimant); claimSent = 1; claimAfterDeath = seenDead(owner);
       assert((batonWith & ~BIT(claimant)) == 0); batonWith = batonWith | BIT(claimant);               /* P3 */
       order(claimant, claim, handoff) }
  :: atomic { registryUp && phase==claimed && mayClaim && !claimSent && !registryHas && seenDead(owner) ->
       declareLost() }                                                                                 /* R40 */
  :: atomic { registryUp && phase==claimed && !seenDead(owner) && !letGo ->                                      /* R41 */
       if :: broken(M_LOST_UNPROBED) && claimantGone -> declareLost() :: else -> toRollback() fi }
  :: atomic { registryUp && phase==claimed && mayClaim && !claimSent && !reachable(claimant) &&        /* R60 */
              seenDead(owner) && (readyToClaim(A) || readyToClaim(B)) ->
       letWait(claimant); toStaged(); mayClaim = 0; printf("registry: the claim was never sent\n") }
  :: atomic { broken(M_GIVE_TWICE) && registryUp && phase==claimed && claimSent && waiting!=0 -> toStaged() }
  :: atomic { registryUp && phase==claimed && seenDead(owner) && claimantGone -> stagedAgainOrLost() } /* R42 */
  :: atomic { registryUp && (phase==claimed || phase==rollback) && seenDead(owner) &&                  /* R43 */
              claimant!=NOBODY && overdue(claimant) && (WAY==none || (WAY==move && CUSTODY)) ->
       endIt(claimant) }

  /* ---- rollback ---- */
  :: atomic { registryUp && phase==rollback && WAY!=none && !takeBackSent && reachable(owner) ->       /* R44 */
       giveVMs(owner); takeBackComplete = claimantGone; takeBackSent = 1; usedSaid = 0;
       order(owner, takeBack, handoff) }
  :: atomic { registryUp && phase==rollback && WAY!=none && usedSaid && claimantGone && !seenDead(owner) ->
       if                                                                                              /* R45 */
       :: WAY==move && !takeBackComplete -> takeBackSent = 0; usedSaid = 0
       :: else -> declareLost()
       fi }
  :: atomic { registryUp && phase==rollback && WAY==move && CUSTODY && usedSaid &&                     /* R46 */
              claimant!=NOBODY && overdue(claimant) -> endIt(claimant) }
  :: atomic { registryUp && phase==rollback && WAY==none && claimant!=NOBODY && alive[claimant] &&     /* R46 */
              !has(sentenced,claimant) -> sentence(claimant) }
  :: atomic { registryUp && phase==rollback && WAY==none && (claimantGone || broken(M_GUESS_DEAD)) &&  /* R47 */
              !seenDead(owner) -> backToSource() }
  :: atomic { registryUp && phase==rollback && seenDead(owner) && claimantGone ->                      /* R51 */
       stagedAgainOrLost() }

  /* ---- outcomes ---- */
  :: atomic { registryUp && phase==idle && runDue && reachable(owner) ->                               /* R53 */
       runDue = 0; runConfirmed = broken(M_NO_ACK); order(owner, runVerdict, epoch) }
  :: atomic { registryUp && phase==idle && !runDue && !runConfirmed && alive[owner] && slowDone<SLOW -> /* R61 */
       slowDone++; runDue = 1 }
  :: atomic { registryUp && (mayRelease(S) || mayRelease(A) || mayRelease(B)) ->                       /* R54 */
       if :: mayRelease(S) -> p = S :: mayRelease(A) -> p = A :: mayRelease(B) -> p = B fi;
       releaseDue = releaseDue & ~BIT(p);
       if :: alive[p] -> order(p, release, 0) :: else fi;
       p = 0 }
  :: atomic { registryUp && (isLeftover(S) || isLeftover(A) || isLeftover(B)) ->                       /* R55, R56 */
       if :: isLeftover(S) -> p = S :: isLeftover(A) -> p = A :: isLeftover(B) -> p = B fi;
       endIt(p); p = 0 }
  :: atomic { !broken(M_CUSTODY_STAYS) && registryUp &&                                                /* R57 */
              ((phase==idle && step!=freezing) || settled) &&
              ((vmRefs[HANDS]|vmRefs[STORE])!=0 || registryHas) ->
       vmRefs[HANDS] = 0; vmRefs[STORE] = 0; bundle = bundle & ~(BIT(HANDS)|BIT(STORE));
       collect((settled || !alive[owner])) }

  /* ---- R4: comes back with its journal; a signal it sent before has arrived by then ---- */
  :: atomic { !registryUp && sentenced==0 -> registryUp = 1; replay();
       printf("registry is back: phase %e, owner %d, epoch %d\n", phase, owner, epoch) }
  od
}
